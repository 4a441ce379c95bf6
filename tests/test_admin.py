"""The admin: permissions, contents, actions and the number of queries."""

from contextlib import closing
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from customers.models import Customer
from imports import lifecycle
from imports.admin import actions, timeline
from imports.conf import app_settings
from imports.models import ImportBatch, ImportJob, ImportRow, Worker
from imports.pipeline import batch_applier
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.database import connection
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

JOBS, BATCHES, WORKERS = (
    f"/admin/imports/{name}/" for name in ("importjob", "importbatch", "worker")
)
CUSTOMERS = "/admin/customers/customer/"
MIXED = make_csv(
    [make_row(1), make_row(2, phone="12"), make_row(3), make_row(4, phone="34", last="")]
)


@pytest.fixture
def admin(root):
    return logged_in_client(root)


def import_url(job, rest="change/"):
    return f"{JOBS}{job.pk}/{rest}"


def read_page(response):
    assert response.status_code == 200
    return unescape(response.content.decode())


def count_queries(client, address):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(
        [q for q in captured if "imports_worker" not in q["sql"]]
    )  # The number of workers is cached.


# --- Imports -----------------------------------------------------------------


def test_list_shows_status_counts_and_duration(admin, alice):
    job = run_import(MIXED, owner=alice)
    job.started_at = job.finished_at - timedelta(seconds=2)
    job.save(update_fields=["started_at"])

    shown = read_page(admin.get(JOBS))

    for words in ("customers.csv", "alice", "Complete", "2 created, 2 failed", "2.0 s"):
        assert words in shown
    assert '<progress max="100" value="100" aria-label="progress">' in shown
    assert '<td class="field-speed">2</td>' in shown


def test_index_links_to_every_list(admin):
    shown = read_page(admin.get("/admin/"))

    for address in (JOBS, BATCHES, WORKERS, CUSTOMERS):
        assert f'href="{address}"' in shown


def test_working_time_excludes_waiting_for_the_start(admin):
    job = check_job(make_job(MIXED, check_first=True))
    long_ago = timezone.now() - timedelta(days=3)
    settled = long_ago + timedelta(seconds=2)
    ImportJob.objects.filter(pk=job.pk).update(started_at=long_ago, checked_at=settled)
    lifecycle.start(job.pk)
    done = apply_all_batches(job.pk)
    job.batches.update(started_at=done.finished_at - timedelta(seconds=2))

    shown = read_page(admin.get(JOBS))

    assert '<td class="field-duration">4.0 s</td>' in shown
    assert '<td class="field-speed">1</td>' in shown


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=ALICE", {"a.csv", "b.csv"}),
        ("q=c.csv", {"c.csv"}),
        ("q=%(pk)s", {"c.csv"}),
        ("q=00000000-0000-0000-0000-000000000000", set()),
        ("q=%%00", {"a.csv", "b.csv", "c.csv"}),
        ("status__exact=CANCELLED", {"b.csv"}),
        ("failed=some", {"a.csv"}),
        ("failed=none", {"b.csv", "c.csv"}),
        ("importer=customers", {"a.csv", "b.csv", "c.csv"}),
        ("created_at__year=1999", set()),
    ],
)
def test_imports_are_searched_and_filtered(admin, alice, bob, query, names):
    for name, owner in (("a.csv", alice), ("b.csv", alice), ("c.csv", bob)):
        job = run_import(MIXED, owner=owner) if name == "a.csv" else make_job(b"x", owner=owner)
        ImportJob.objects.filter(pk=job.pk).update(file_name=name)
        if name == "b.csv":
            ImportJob.objects.transition(job.pk, Status.CANCELLED)

    shown = read_page(admin.get(f"{JOBS}?{query % {'pk': job.pk}}"))

    assert {name for name in ("a.csv", "b.csv", "c.csv") if f">{name}<" in shown} == names


@pytest.mark.parametrize(
    "query",
    [
        "detected_columns__samples__0__0__startswith=B",
        "detected_columns__samples__icontains=acc",
        "file_digest__startswith=a",
        "error_params__contains=a",
        "file__regex=(a%2B)%2B",
        "owner__password__startswith=p",
        "owner__in=1,2",
    ],
)
def test_list_takes_no_filter_that_it_does_not_offer(alice, eve, query):
    run_import(MIXED, owner=alice)

    response = logged_in_client(eve).get(f"{JOBS}?{query}")

    assert response.status_code == 400


def test_webhooks_are_not_filtered_by_their_secret(admin):
    url = "/admin/imports/webhookendpoint/"

    assert admin.get(f"{url}?salt__startswith=a").status_code == 400
    assert admin.get(url).status_code == 200


def test_import_page_shows_problems_and_links_to_rows(admin):
    job = run_import(MIXED)

    shown = read_page(admin.get(import_url(job)))

    assert "This is not a phone number we can call." in shown
    cause = f"{import_url(job, 'rows/')}?outcome=failed&column=phone&code=phone_too_short"
    assert f'<a href="{cause}&after=2">3</a>, <a href="{cause}&after=4">5</a>' in shown
    assert f'<a href="{cause}">2</a>' in shown
    assert [row["number"] for row in admin.get(f"{cause}&after=4").context["rows"]] == [5]
    assert 'name="_save"' not in shown


@committed
def test_import_page_links_to_files_and_records(admin):
    job = run_import(MIXED)
    clean, waiting = run_import(make_csv([make_row(9)])), make_job(MIXED)

    shown = read_page(admin.get(import_url(job)))

    for path in ("file/", "failed-rows.xlsx", "failed-rows.csv", ""):
        assert f'href="/imports/{job.pk}/{path}"' in shown
        with closing(admin.get(f"/imports/{job.pk}/{path}")) as response:
            assert response.status_code == 200
    assert f'href="/customers/?import={job.pk}"' in shown
    assert "failed-rows" not in read_page(admin.get(import_url(clean)))
    assert "/customers/?import" not in read_page(admin.get(import_url(waiting)))


@committed
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7", '<b>Failed</b> <span class="reason">The file is a PDF.'),
        (make_csv([make_row(1)], ["a", "b", "c", "d", "e"]), "recognised: Shipping mark, First"),
    ],
)
def test_error_of_import_is_shown(admin, content, words):
    job = check_job(make_job(content))

    assert words in read_page(admin.get(import_url(job)))
    assert words in read_page(admin.get(JOBS))


# --- Timeline ------------------------------------------------------------


def list_phases(client, job):
    timeline = client.get(import_url(job)).context["timeline"]
    return [entry.phase.label for entry in timeline if entry.phase]


@committed
def test_timeline_lists_each_phase(admin):
    through = run_import(MIXED)
    waiting = make_job(MIXED)
    ready = check_job(make_job(make_csv([make_row(n) for n in range(5, 99)]), check_first=True))
    mapping = check_job(make_job(make_csv([make_row(1)], ["a", "b", "c", "d", "e"])))
    failed = check_job(make_job(b"%PDF-1.7"))
    checked = ["Uploaded", "Waited for a worker", "Rows checked"]

    assert list_phases(admin, through) == [*checked, "Rows written", "Complete"]
    assert list_phases(admin, waiting) == ["Uploaded", "Waiting for a worker"]
    assert list_phases(admin, ready) == [*checked, "Ready to start"]
    assert list_phases(admin, mapping) == [*checked, "Column mapping needed"]
    assert list_phases(admin, failed) == [*checked, "Failed"]
    lifecycle.start(ready.pk)
    batch_applier.apply_batch(ready.pk, 1)
    assert list_phases(admin, ready) == [*checked, "Waited for the start", "Importing"]
    apply_all_batches(ready.pk)
    waited = [*checked, "Waited for the start", "Rows written", "Complete"]
    assert list_phases(admin, ready) == waited


@committed
def test_timeline_tells_waiting_for_the_user_from_checking(admin):
    mapping = check_job(make_job(make_csv([make_row(1)], ["a", "b", "c", "d", "e"])))
    ready = check_job(make_job(MIXED, check_first=True))

    lifecycle.cancel(mapping.pk)
    lifecycle.check_again(ready.pk, {"on_duplicate": "update"})
    check_job(ready)

    for job in (mapping, ready):
        assert "Checked, and waited for the user" in list_phases(admin, job)
        assert '<td class="field-speed">-</td>' in read_page(admin.get(f"{JOBS}?q={job.pk}"))


@pytest.mark.parametrize(
    ("status", "attempts", "is_read", "deaths"),
    [
        *((Status.CHECKING, 1, True, 0), (Status.CHECKING, 2, True, 1)),
        *((Status.CHECKING, 1, False, 1), (Status.CANCELLED, 1, True, 0)),
        *((Status.FAILED, 3, True, 3), (Status.COMPLETE, 0, False, 0)),
    ],
)
def test_running_attempt_is_no_reader_crash(status, attempts, is_read, deaths):
    job = ImportJob(status=status, reader_crashes=attempts)
    job.reader_heartbeat_at = timezone.now() if is_read else None

    assert timeline.count_reader_crashes(job) == deaths


def test_timeline_times_match_the_batches(admin):
    job = check_job(make_job(MIXED))
    batch_applier.apply_batch(job.pk, 1, worker="host:7")

    context = admin.get(import_url(job)).context

    began, ended = job.batches.values_list("started_at", "applied_at").get()
    phases = [entry.phase for entry in context["timeline"] if entry.phase]
    written = phases[3]
    assert (written.started_at, written.ended_at, written.rows) == (began, ended, 2)
    assert (context["batch_totals"].batches, context["batch_totals"].applied) == (1, 1)
    assert phases[2].rows == 4
    assert [(w["worker"], w["batches"], w["total_rows"]) for w in context["workers"]] == [
        ("host:7", 1, 2)
    ]
    assert context["batches"][0].duration == ended - began


def test_batches_with_failed_or_running_attempts_come_first(admin, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 4
    job = check_job(make_job(make_csv([make_row(n) for n in range(200)])))
    batch_applier.apply_batch(job.pk, 1, worker="host:1")
    third, fourth = job.batches.filter(number__in=(3, 4))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        (alive,) = cursor.fetchone()
    for batch, session in ((third, "7 2026-01-01"), (fourth, alive), (fourth, "")):
        batch.attempts.create(session=session, worker="host:2", started_at=timezone.now())

    page = admin.get(import_url(job))

    assert [batch.number for batch in page.context["batches"]] == [3, 4, 1, 2]
    assert "host:2: crashed" in read_page(page)
    assert "host:2: running" in read_page(page)
    assert "host:2: failed with an error" in read_page(page)
    attempts = {b.number: timeline.count_attempts(b) for b in page.context["batches"]}
    assert attempts == {1: 1, 2: 0, 3: 1, 4: 2}
    assert "crashed" in read_page(admin.get(f"{BATCHES}{third.pk}/change/"))
    assert "2 batches" in read_page(admin.get(f"{BATCHES}?attempts=some"))
    assert "2 batches" in read_page(admin.get(f"{BATCHES}?attempts=none"))


def test_first_batches_are_listed_and_all_are_linked(admin, settings, monkeypatch):
    monkeypatch.setattr(timeline, "MAX_BATCHES", 1)
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 2
    job = apply_all_batches(check_job(make_job(make_csv([make_row(n) for n in range(100)]))).pk)

    page = admin.get(import_url(job))

    assert [batch.number for batch in page.context["batches"]] == [1]
    assert "2 of 2 batches are written." in read_page(page)
    assert "2 batches" in read_page(admin.get(page.context["batches_url"]))


def test_import_of_deleted_owner_is_shown(admin, alice):
    job = make_job(b"x", owner=alice)
    alice.delete()

    assert "customers.csv" in read_page(admin.get(JOBS))
    assert "customers.csv" in read_page(admin.get(import_url(job)))


@pytest.mark.parametrize("kind", [JOBS, BATCHES, WORKERS])
@pytest.mark.parametrize("rest", ["add/", "{pk}/delete/", "{pk}/change/"])
def test_admin_is_read_only(admin, kind, rest):
    job = run_import(MIXED)
    worker = Worker.objects.create(name="w")
    pk = {JOBS: job.pk, BATCHES: job.batches.get().pk, WORKERS: worker.pk}[kind]

    response = admin.post(f"{kind}{rest.format(pk=pk)}", {"post": "yes", "file_name": "new"})

    assert response.status_code == 403
    assert ImportJob.objects.get().file_name == "customers.csv"
    assert (ImportBatch.objects.count(), Worker.objects.count()) == (1, 1)
    assert ImportRow.objects.count() == 4


def test_bulk_delete_is_not_offered(admin):
    make_job(b"x")

    assert "delete_selected" not in read_page(admin.get(JOBS))


# --- Permissions -----------------------------------------------------------------


def test_user_with_view_all_sees_all_imports(alice, eve):
    job = run_import(MIXED, owner=alice)
    client = logged_in_client(eve)

    for address in (JOBS, import_url(job), import_url(job, "rows/"), BATCHES, WORKERS):
        assert client.get(address).status_code == 200
    assert "customers.csv" in read_page(client.get(JOBS))


def test_staff_without_permission_is_denied(alice):
    job = run_import(MIXED, owner=alice)
    client = logged_in_client(create_user("dan", is_staff=True))

    for address in (JOBS, BATCHES, WORKERS, CUSTOMERS):
        assert client.get(address).status_code == 403
    assert client.get(import_url(job)).status_code in {302, 403}
    assert client.get(import_url(job, "rows/")).status_code in {403, 404}


def test_import_permission_does_not_open_the_admin():
    ivy = create_user("ivy", "add_importjob", is_staff=True)
    own, client = run_import(MIXED, owner=ivy), logged_in_client(ivy)

    for address in (JOBS, import_url(own), import_url(own, "rows/")):
        assert client.get(address).status_code in {403, 404}


def test_staff_with_import_permission_see_only_their_own(alice):
    other = run_import(MIXED, owner=alice)
    fay = create_user("fay", "add_importjob", "view_importjob", "view_importbatch", is_staff=True)
    own, client = make_job(b"x", owner=fay), logged_in_client(fay)

    shown = read_page(client.get(JOBS))

    assert (str(own.pk) in shown, str(other.pk) in shown) == (True, False)
    assert client.get(import_url(other)).status_code == 302  # "It does not exist."
    assert client.get(import_url(other, "rows/")).status_code == 404
    assert "0 batches" in read_page(client.get(BATCHES))


def test_anonymous_user_is_redirected_to_login(alice):
    job = run_import(MIXED, owner=alice)

    for address in (JOBS, import_url(job), import_url(job, "rows/")):
        assert Client().get(address).status_code == 302


# --- Start and cancel --------------------------------------------------------


def run_action(client, action, *jobs):
    chosen = {"action": action, "_selected_action": [job.pk for job in jobs]}
    return read_page(client.post(JOBS, chosen, follow=True))


def test_imports_are_started_and_cancelled(admin):
    ready, waiting = check_job(make_job(MIXED, check_first=True)), make_job(MIXED)

    run_action(admin, "start", ready)
    run_action(admin, "cancel", waiting)

    assert get_status(ready) == Status.RUNNING
    assert get_status(waiting) == Status.CANCELLED


def test_action_skips_imports_whose_status_does_not_allow_it(admin):
    done, waiting = run_import(MIXED), make_job(MIXED)

    shown = run_action(admin, "cancel", done, waiting)

    assert "It is complete: every row has an outcome. (customers.csv)" in shown
    assert (get_status(done), get_status(waiting)) == (Status.COMPLETE, Status.CANCELLED)


@committed
def test_each_import_is_named_in_the_message_of_its_result(admin):
    def named(job, name):
        ImportJob.objects.filter(pk=job.pk).update(file_name=name)
        return job

    waiting = [named(make_job(MIXED), f"w{n}.csv") for n in range(2)]
    done = [named(run_import(MIXED), f"d{n}.csv") for n in range(2)]

    shown = run_action(admin, "cancel", *waiting, *done)
    again = run_action(admin, "cancel", *waiting)

    assert "Cancelled: w1.csv, w0.csv." in shown
    assert "It is complete: every row has an outcome. (d1.csv, d0.csv)" in shown
    assert "The import was cancelled already." in again
    assert "(w1.csv, w0.csv)" in again


def test_import_that_is_not_ready_is_not_started(admin):
    waiting, done = make_job(MIXED), run_import(MIXED)

    shown = run_action(admin, "start", waiting, done)

    refused = "The import was not started."
    assert f"{refused} Its file is still being checked. It starts by itself." in shown
    assert f"{refused} It is complete: every row has an outcome. (customers.csv)" in shown
    assert (get_status(waiting), get_status(done)) == (Status.QUEUED, Status.COMPLETE)


def test_action_on_too_many_imports_changes_nothing(admin, monkeypatch):
    monkeypatch.setattr(actions, "MAX_SELECTED_IMPORTS", 1)
    first, second = make_job(MIXED), make_job(MIXED)

    shown = run_action(admin, "cancel", first, second)

    assert "Nothing was done. Select at most 1 imports at a time." in shown
    assert get_status(first) == get_status(second) == Status.QUEUED


def test_action_is_logged_in_the_history(admin, root):
    job = make_job(MIXED)

    run_action(admin, "cancel", job, run_import(MIXED))

    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (root, str(job.pk))
    assert "Cancelled: customers.csv." in read_page(admin.get(import_url(job, "history/")))


@committed
def test_import_page_offers_allowed_actions(admin):
    ready, waiting = check_job(make_job(MIXED, check_first=True)), make_job(MIXED)

    def buttons(job):
        shown = read_page(admin.get(import_url(job)))
        return [
            move
            for move in ("start", "cancel")
            if f'="{import_url(job, f"commands/{move}")}/"' in shown
        ]

    assert buttons(ready) == ["start", "cancel"]
    assert buttons(waiting) == ["cancel"]
    started = admin.post(import_url(ready, "commands/start/"), follow=True)
    assert "Started: customers.csv." in read_page(started)
    assert get_status(ready) == Status.RUNNING
    assert buttons(ready) == ["cancel"]
    assert buttons(run_import(MIXED)) == []


def test_action_from_outdated_page_shows_current_status(admin):
    job = make_job(MIXED)
    lifecycle.cancel(job.pk)

    shown = read_page(admin.post(import_url(job, "commands/cancel/"), follow=True))

    assert "The import was cancelled already." in shown


def test_action_requires_post_and_csrf_token(admin, root):
    job = make_job(MIXED)

    assert admin.get(import_url(job, "commands/cancel/")).status_code == 405
    wary = logged_in_client(root, enforce_csrf_checks=True)
    assert wary.post(import_url(job, "commands/cancel/")).status_code == 403
    assert get_status(job) == Status.QUEUED


def test_user_with_view_all_cannot_cancel(alice, eve):
    job, client = make_job(MIXED, owner=alice), logged_in_client(eve)

    run_action(client, "cancel", job)
    client.post(import_url(job, "commands/cancel/"))

    assert get_status(job) == Status.QUEUED
    assert 'value="cancel"' not in read_page(client.get(JOBS))
    assert "formaction" not in read_page(client.get(import_url(job)))


def test_user_cannot_cancel_an_invisible_import(alice):
    job = make_job(MIXED, owner=alice)
    fay = create_user("fay", "add_importjob", "view_importjob", is_staff=True)

    assert logged_in_client(fay).post(import_url(job, "commands/cancel/")).status_code == 404
    assert get_status(job) == Status.QUEUED


def test_user_with_view_all_cancels_only_own_imports(alice):
    gus = create_user("gus", "view_all", "add_importjob", is_staff=True)
    other, own = make_job(MIXED, owner=alice), make_job(MIXED, owner=gus)

    shown = run_action(logged_in_client(gus), "cancel", other, own)

    assert "You can view these imports but not control them: customers.csv." in shown
    assert (get_status(other), get_status(own)) == (Status.QUEUED, Status.CANCELLED)


def test_user_with_control_all_cancels_any_import(alice):
    hal = create_user("hal", "control_all", is_staff=True)
    job = make_job(MIXED, owner=alice)

    run_action(logged_in_client(hal), "cancel", job)

    assert get_status(job) == Status.CANCELLED


def get_status(job):
    return ImportJob.objects.get(pk=job.pk).status


# --- Rows --------------------------------------------------------------------


def test_rows_are_listed_one_hundred_per_page(admin):
    job = run_import(make_csv([make_row(n) for n in range(150)]))

    first = admin.get(import_url(job, "rows/"))
    second = admin.get(import_url(job, f"rows/?after={first.context['next_after']}"))

    assert [row["number"] for row in first.context["rows"]] == list(range(2, 102))
    assert [row["number"] for row in second.context["rows"]] == list(range(102, 152))
    assert second.context["next_after"] is None
    assert 'rel="next"' in read_page(first)
    assert 'rel="next"' not in read_page(second)


def test_rows_are_filtered_by_outcome(admin):
    job = run_import(MIXED)

    failed = admin.get(import_url(job, "rows/?outcome=failed"))
    created = admin.get(import_url(job, "rows/?outcome=created"))

    assert [row["number"] for row in failed.context["rows"]] == [3, 5]
    assert "This is not a phone number we can call." in read_page(failed)
    assert [row["number"] for row in created.context["rows"]] == [2, 4]
    assert "MARK 3" in read_page(created)


def test_cell_with_markup_is_escaped(admin):
    job = run_import(make_csv([make_row(1, phone="<script>alert(1)</script>")]))

    shown = admin.get(import_url(job, "rows/")).content.decode()

    assert "<script>alert(1)" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_row_values_are_in_the_order_of_the_headers(admin):
    headers = ["Phone", "Last name", "First name", "Mark", "Note"]
    rows = [["+233240000001", "Mensah", "Ama", "M 1", "x"], ["12", "Mensah", "Efua", "M 2", "y"]]
    job = run_import(make_csv(rows, headers))

    context = admin.get(import_url(job, "rows/")).context

    assert context["headers"] == ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]
    created, failed = (row["values"] for row in context["rows"])
    assert created == ["M 1", "Ama", "Mensah", None, "+233240000001"]
    assert failed == ["M 2", "Efua", "Mensah", None, "12"]


def test_row_links_to_customer_for_user_with_permission(admin, eve):
    job = run_import(MIXED)
    address = f"{CUSTOMERS}{Customer.objects.earliest('pk').pk}/change/"

    assert f'<a href="{address}">' in read_page(admin.get(import_url(job, "rows/")))
    assert CUSTOMERS not in read_page(logged_in_client(eve).get(import_url(job, "rows/")))


def test_rows_of_one_problem_are_paginated(admin, monkeypatch):
    monkeypatch.setattr("imports.admin.rows.ROWS_PER_PAGE", 1)
    job = run_import(
        make_csv([make_row(1, phone="1"), make_row(2, last=""), make_row(3, phone="3")])
    )
    cause = "outcome=failed&column=phone&code=phone_too_short"

    first = admin.get(import_url(job, f"rows/?{cause}"))

    assert f'href="?{cause}&after=2"' in read_page(first)
    second = admin.get(import_url(job, f"rows/?{cause}&after=2"))
    assert [row["number"] for row in second.context["rows"]] == [4]
    assert second.context["next_after"] is None


@pytest.mark.parametrize(
    "query",
    [
        *("outcome=lost", "after=-1", "after=x", "after=99999999999", "column=phone"),
        *("code=%00", "column=%00phone"),
    ],
)
def test_invalid_row_query_shows_the_first_page(admin, query):
    job = run_import(MIXED)

    assert len(admin.get(import_url(job, f"rows/?{query}")).context["rows"]) == 4


def test_rows_of_unknown_import_are_not_found(admin):
    address = f"{JOBS}00000000-0000-0000-0000-000000000000/rows/"

    assert admin.get(address).status_code == 404


# --- Batches and workers -----------------------------------------------------


def test_batches_are_filtered_by_written(admin, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 2
    job = check_job(make_job(make_csv([make_row(n) for n in range(100)])))
    batch_applier.apply_batch(job.pk, 1, worker="host:7")

    shown = read_page(admin.get(f"{BATCHES}?job__id__exact={job.pk}"))
    unwritten = read_page(admin.get(f"{BATCHES}?applied_at__isempty=1"))

    assert "host:7" in shown
    assert "2 batches" in shown
    assert "1 batch\n" in unwritten


def test_worker_is_alive_while_its_heartbeat_is_fresh(admin, settings):
    job_id = uuid4()
    step = f"checking {job_id}"
    current_work = [{"what": step, "seconds": 3}]
    Worker.objects.create(name="here", threads=3, current_work=current_work)
    long_ago = timezone.now() - timedelta(seconds=app_settings.WORKER_HEARTBEAT_TIMEOUT_SECONDS + 1)
    gone = Worker.objects.create(name="gone")
    Worker.objects.filter(pk=gone.pk).update(heartbeat_at=long_ago)

    shown = read_page(admin.get(WORKERS))

    url = f"/admin/imports/importjob/{job_id}/change/"
    assert f'checking <a href="{url}">{job_id}</a> (3.0 s, ' in shown
    assert "1 / 3" in shown
    assert shown.count('alt="True"') == shown.count('alt="False"') == 1
    page = read_page(admin.get(f"{WORKERS}{Worker.objects.first().pk}/change/"))
    assert f"{job_id}</a> (3.0 s, " in page


# --- Customers ---------------------------------------------------------------


def test_customer_shows_the_import_and_row_that_wrote_it(admin, alice):
    job = run_import(make_csv([make_row(7), make_row(8)]), owner=alice)
    customer = Customer.objects.get(shipping_mark="MARK 8")
    origin = f'<a href="{import_url(job, "rows/")}?after=2">customers.csv, row 3</a>'

    assert origin in read_page(admin.get(CUSTOMERS))
    assert origin in read_page(admin.get(f"{CUSTOMERS}{customer.pk}/change/"))
    assert admin.get(f"{import_url(job, 'rows/')}?after=2").context["rows"][0]["number"] == 3


def test_provenance_is_shown_only_to_users_who_may_see_the_import(alice, bob):
    own, other = ["view_customer", "add_importjob"], ["view_customer", "view_all"]
    job = run_import(make_csv([make_row(7)]), owner=alice)
    alice.user_permissions.add(*create_user("x", *own).user_permissions.all())
    for person_, words in (
        (alice, f'href="/imports/{job.pk}/">customers.csv, row 2'),
        (create_user("ian", *other), 'rows/?after=1">customers.csv, row 2'),
    ):
        person_.is_staff = True
        person_.save()
        assert words in read_page(logged_in_client(person_).get(CUSTOMERS))
    stranger = logged_in_client(create_user("jan", *own, is_staff=True))
    assert "customers.csv" not in read_page(stranger.get(CUSTOMERS))
    assert "MARK 7" in read_page(stranger.get(CUSTOMERS))


def test_customer_created_by_hand_has_no_provenance(admin):
    Customer.objects.create(shipping_mark="M", last_name="L", first_name="F", phone="+2332")

    assert '<td class="field-came_from">-</td>' in read_page(admin.get(CUSTOMERS))
    assert read_page(admin.get(f"{CUSTOMERS}add/"))


@pytest.mark.parametrize("query", ["MARK 7", "+233240000007", "Mensah7", "ama7@example"])
def test_customer_is_searched(admin, query):
    run_import(make_csv([make_row(7), make_row(8)]))

    found = admin.get(CUSTOMERS, {"q": query}).context["cl"].result_list

    assert [customer.shipping_mark for customer in found] == ["MARK 7"]


def test_customer_edited_by_hand_is_validated_like_a_row(admin):
    run_import(make_csv([make_row(1), make_row(2)]))
    customer = Customer.objects.get(shipping_mark="MARK 1")
    typed = {
        "shipping_mark": " acc  1 ",
        "first_name": "Ama",
        "last_name": "Mensah",
        "email": "",
        "phone": "024 412 3456",
    }
    address = f"{CUSTOMERS}{customer.pk}/change/"

    invalid = admin.post(address, typed | {"phone": "12"})
    taken = admin.post(address, typed | {"phone": "024 000 0002"})
    accepted = admin.post(address, typed)

    assert "This is not a phone number we can call." in read_page(invalid)
    assert "already exists" in read_page(taken)
    assert accepted.status_code == 302
    customer.refresh_from_db()
    assert (customer.shipping_mark, customer.phone) == ("ACC 1", "+233244123456")
    assert customer.email is None


# --- Number of queries --------------------------------------------------------------------


@committed
@pytest.mark.parametrize("address", [JOBS, BATCHES, WORKERS, CUSTOMERS])
def test_query_count_is_independent_of_list_length(admin, address, alice, bob):
    def more(first, count):
        for n in range(first, first + count):
            run_import(make_csv([make_row(n)]), owner=alice if n % 2 else bob)
            Worker.objects.create(name=f"w{n}")
            make_job(b"x", owner=alice)

    more(0, 3)
    admin.get(address)
    count = count_queries(admin, address)
    more(3, 8)

    assert count_queries(admin, address) == count


@committed
@pytest.mark.parametrize("rest", ["change/", "rows/", "rows/?outcome=created"])
def test_query_count_is_independent_of_import_size(admin, rest, settings):
    settings.IMPORTS_BATCHES_PER_SMALL_FILE = 4

    def queries(size):
        rows = [
            make_row(size * n, phone="1" if n % 5 == 0 else f"0244{size:03}{n:03}")
            for n in range(size)
        ]
        job = apply_all_batches(check_job(make_job(make_csv(rows))).pk)
        for batch in job.batches.all():
            batch.attempts.create(session="", worker=f"w{batch}", started_at=timezone.now())
        admin.get(import_url(job, rest))
        return count_queries(admin, import_url(job, rest))

    assert queries(10) == queries(250)
