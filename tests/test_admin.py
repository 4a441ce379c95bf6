"""Django's admin: what happened can be read by those who may, changed by nobody, and stays fast."""

from contextlib import closing
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from customers.models import Customer
from imports import lifecycle
from imports.admin import actions, timeline
from imports.models import ImportBatch, ImportJob, ImportRow, Worker
from imports.pipeline import batch_applier
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db
real_commits = pytest.mark.django_db(transaction=True)

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


def page_of(job, rest="change/"):
    return f"{JOBS}{job.pk}/{rest}"


def text_of(response):
    assert response.status_code == 200
    return unescape(response.content.decode())


def queries_for(client, address):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len([q for q in captured if "imports_worker" not in q["sql"]])  # Asked now and then.


# --- Imports -----------------------------------------------------------------


def test_the_list_shows_how_each_import_stands(admin, alice):
    job = run_import(MIXED, owner=alice)
    job.started_at = job.finished_at - timedelta(seconds=2)
    job.save(update_fields=["started_at"])

    shown = text_of(admin.get(JOBS))

    for words in ("customers.csv", "alice", "Complete", "2 created, 2 refused", "2.0 s"):
        assert words in shown
    assert '<progress max="100" value="100" aria-label="progress">' in shown
    assert '<td class="field-speed">2</td>' in shown


def test_only_what_is_ever_filled_has_a_list(admin):
    shown = text_of(admin.get("/admin/"))

    assert "/admin/django_dramatiq/" not in shown
    for address in (JOBS, BATCHES, WORKERS, CUSTOMERS):
        assert f'href="{address}"' in shown


def test_the_time_an_import_waited_to_be_started_is_none_of_its_work(admin):
    job = check_job(make_job(MIXED, check_first=True))
    long_ago = timezone.now() - timedelta(days=3)
    settled = long_ago + timedelta(seconds=2)
    ImportJob.objects.filter(pk=job.pk).update(started_at=long_ago, checked_at=settled)
    lifecycle.start(job.pk)
    done = apply_all_batches(job.pk)
    job.batches.update(started_at=done.finished_at - timedelta(seconds=2))

    shown = text_of(admin.get(JOBS))

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
        ("refused=some", {"a.csv"}),
        ("refused=none", {"b.csv", "c.csv"}),
        ("importer=customers", {"a.csv", "b.csv", "c.csv"}),
        ("created_at__year=1999", set()),
    ],
)
def test_imports_are_found(admin, alice, bob, query, names):
    for name, owner in (("a.csv", alice), ("b.csv", alice), ("c.csv", bob)):
        job = run_import(MIXED, owner=owner) if name == "a.csv" else make_job(b"x", owner=owner)
        ImportJob.objects.filter(pk=job.pk).update(file_name=name)
        if name == "b.csv":
            ImportJob.objects.transition(job.pk, Status.CANCELLED)

    shown = text_of(admin.get(f"{JOBS}?{query % {'pk': job.pk}}"))

    assert {name for name in ("a.csv", "b.csv", "c.csv") if f">{name}<" in shown} == names


def test_an_imports_page_tells_why_rows_were_refused_and_leads_to_them(admin):
    job = run_import(MIXED)

    shown = text_of(admin.get(page_of(job)))

    assert "This is not a phone number we can call." in shown
    cause = f"{page_of(job, 'rows/')}?outcome=failed&column=phone&code=phone_too_short"
    assert f'<a href="{cause}&after=2">3</a>, <a href="{cause}&after=4">5</a>' in shown
    assert f'<a href="{cause}">2</a>' in shown
    assert [row["number"] for row in admin.get(f"{cause}&after=4").context["rows"]] == [5]
    assert 'name="_save"' not in shown


@real_commits
def test_an_imports_page_leads_to_its_files_and_to_what_it_wrote(admin):
    job = run_import(MIXED)
    clean, waiting = run_import(make_csv([make_row(9)])), make_job(MIXED)

    shown = text_of(admin.get(page_of(job)))

    for path in ("file/", "failed-rows.xlsx", "failed-rows.csv", ""):
        assert f'href="/imports/{job.pk}/{path}"' in shown
        with closing(admin.get(f"/imports/{job.pk}/{path}")) as answer:
            assert answer.status_code == 200
    assert f'href="/customers/?import={job.pk}"' in shown
    assert "failed-rows" not in text_of(admin.get(page_of(clean)))
    assert "/customers/?import" not in text_of(admin.get(page_of(waiting)))


@real_commits
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7", '<b>Failed</b> <span class="reason">This is a PDF.'),
        (make_csv([make_row(1)], ["a", "b", "c", "d", "e"]), "recognised: Shipping mark, First"),
    ],
)
def test_an_import_that_stopped_says_why(admin, content, words):
    job = check_job(make_job(content))

    assert words in text_of(admin.get(page_of(job)))
    assert words in text_of(admin.get(JOBS))


# --- Its timeline ------------------------------------------------------------


def phases_of(client, job):
    return [phase.what for phase in client.get(page_of(job)).context["phases"]]


@real_commits
def test_the_timeline_tells_each_phase(admin):
    through = run_import(MIXED)
    waiting = make_job(MIXED)
    ready = check_job(make_job(make_csv([make_row(n) for n in range(5, 99)]), check_first=True))
    mapping = check_job(make_job(make_csv([make_row(1)], ["a", "b", "c", "d", "e"])))
    failed = check_job(make_job(b"%PDF-1.7"))
    checked = ["Uploaded", "Waited for a worker", "Rows checked"]

    assert phases_of(admin, through) == [*checked, "Rows written", "Complete"]
    assert phases_of(admin, waiting) == ["Uploaded", "Waiting for a worker"]
    assert phases_of(admin, ready) == [*checked, "Ready to start"]
    assert phases_of(admin, mapping) == [*checked, "Columns needed"]
    assert phases_of(admin, failed) == [*checked, "Failed"]
    lifecycle.start(ready.pk)
    batch_applier.apply_batch(ready.pk, 1)
    assert phases_of(admin, ready) == [*checked, "Waited to be started", "Importing"]
    apply_all_batches(ready.pk)
    waited = [*checked, "Waited to be started", "Rows written", "Complete"]
    assert phases_of(admin, ready) == waited


@real_commits
def test_time_in_which_a_person_was_asked_is_not_said_to_be_checking(admin):
    mapping = check_job(make_job(make_csv([make_row(1)], ["a", "b", "c", "d", "e"])))
    ready = check_job(make_job(MIXED, check_first=True))

    lifecycle.cancel(mapping.pk)
    lifecycle.check_again(ready.pk, {"on_duplicate": "update"})
    check_job(ready)

    for job in (mapping, ready):
        assert "Checked, and waited for someone" in phases_of(admin, job)
        assert '<td class="field-speed">-</td>' in text_of(admin.get(f"{JOBS}?q={job.pk}"))


@pytest.mark.parametrize(
    ("status", "attempts", "is_read", "deaths"),
    [
        *((Status.CHECKING, 1, True, 0), (Status.CHECKING, 2, True, 1)),
        *((Status.CHECKING, 1, False, 1), (Status.CANCELLED, 1, True, 0)),
        *((Status.FAILED, 3, True, 3), (Status.COMPLETE, 0, False, 0)),
    ],
)
def test_an_attempt_in_hand_is_no_death(status, attempts, is_read, deaths):
    job = ImportJob(status=status, reader_crashes=attempts)
    job.reader_heartbeat_at = timezone.now() if is_read else None

    assert timeline.reader_crashes(job) == deaths


def test_the_timeline_adds_up(admin):
    job = check_job(make_job(MIXED))
    batch_applier.apply_batch(job.pk, 1, worker="host:7")

    context = admin.get(page_of(job)).context

    began, ended = job.batches.values_list("started_at", "applied_at").get()
    written = context["phases"][3]
    assert (written.began, written.ended, written.rows) == (began, ended, 2)
    assert (context["written"]["batches"], context["written"]["applied"]) == (1, 1)
    assert context["phases"][2].rows == 4
    assert [(w["worker"], w["batches"], w["summed_rows"]) for w in context["workers"]] == [
        ("host:7", 1, 2)
    ]
    assert context["batches"][0].took == ended - began


def test_attempts_that_did_not_end_in_order_come_first_and_say_how(admin, settings):
    settings.IMPORT_BATCHES_A_FILE = 4
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

    page = admin.get(page_of(job))

    assert [batch.number for batch in page.context["batches"]] == [3, 4, 1, 2]
    assert "host:2: killed" in text_of(page)
    assert "host:2: under way" in text_of(page)
    assert "host:2: ended in an error" in text_of(page)
    attempts = {b.number: timeline.attempts_at(b) for b in page.context["batches"]}
    assert attempts == {1: 1, 2: 0, 3: 1, 4: 2}
    assert "killed" in text_of(admin.get(f"{BATCHES}{third.pk}/change/"))
    assert "2 batches" in text_of(admin.get(f"{BATCHES}?attempts=some"))
    assert "2 batches" in text_of(admin.get(f"{BATCHES}?attempts=none"))


def test_of_many_batches_a_few_are_listed_and_all_are_linked(admin, settings, monkeypatch):
    monkeypatch.setattr(timeline, "MOST_BATCHES", 1)
    settings.IMPORT_BATCHES_A_FILE = 2
    job = apply_all_batches(check_job(make_job(make_csv([make_row(n) for n in range(100)]))).pk)

    page = admin.get(page_of(job))

    assert [batch.number for batch in page.context["batches"]] == [1]
    assert "2 of 2 batches are written." in text_of(page)
    assert "2 batches" in text_of(admin.get(page.context["batches_address"]))


def test_an_owner_who_was_deleted_is_no_obstacle(admin, alice):
    job = make_job(b"x", owner=alice)
    alice.delete()

    assert "customers.csv" in text_of(admin.get(JOBS))
    assert "customers.csv" in text_of(admin.get(page_of(job)))


@pytest.mark.parametrize("kind", [JOBS, BATCHES, WORKERS])
@pytest.mark.parametrize("rest", ["add/", "{pk}/delete/", "{pk}/change/"])
def test_what_happened_cannot_be_changed(admin, kind, rest):
    job = run_import(MIXED)
    worker = Worker.objects.create(name="w")
    pk = {JOBS: job.pk, BATCHES: job.batches.get().pk, WORKERS: worker.pk}[kind]

    response = admin.post(f"{kind}{rest.format(pk=pk)}", {"post": "yes", "file_name": "new"})

    assert response.status_code == 403
    assert ImportJob.objects.get().file_name == "customers.csv"
    assert (ImportBatch.objects.count(), Worker.objects.count()) == (1, 1)
    assert ImportRow.objects.count() == 4


def test_nothing_can_be_deleted_by_the_dozen(admin):
    make_job(b"x")

    assert "delete_selected" not in text_of(admin.get(JOBS))


# --- Who may -----------------------------------------------------------------


def test_who_may_see_all_sees_all(alice, eve):
    job = run_import(MIXED, owner=alice)
    client = logged_in_client(eve)

    for address in (JOBS, page_of(job), page_of(job, "rows/"), BATCHES, WORKERS):
        assert client.get(address).status_code == 200
    assert "customers.csv" in text_of(client.get(JOBS))


def test_staff_without_permission_see_nothing(alice):
    job = run_import(MIXED, owner=alice)
    client = logged_in_client(create_user("dan", is_staff=True))

    for address in (JOBS, BATCHES, WORKERS, CUSTOMERS):
        assert client.get(address).status_code == 403
    assert client.get(page_of(job)).status_code in {302, 403}
    assert client.get(page_of(job, "rows/")).status_code in {403, 404}


def test_to_import_is_not_yet_to_review():
    ivy = create_user("ivy", "add_importjob", is_staff=True)
    own, client = run_import(MIXED, owner=ivy), logged_in_client(ivy)

    for address in (JOBS, page_of(own), page_of(own, "rows/")):
        assert client.get(address).status_code in {403, 404}


def test_staff_who_import_see_their_own_only(alice):
    hers = run_import(MIXED, owner=alice)
    fay = create_user("fay", "add_importjob", "view_importjob", "view_importbatch", is_staff=True)
    own, client = make_job(b"x", owner=fay), logged_in_client(fay)

    shown = text_of(client.get(JOBS))

    assert (str(own.pk) in shown, str(hers.pk) in shown) == (True, False)
    assert client.get(page_of(hers)).status_code == 302  # "It does not exist."
    assert client.get(page_of(hers, "rows/")).status_code == 404
    assert "0 batches" in text_of(client.get(BATCHES))


def test_a_stranger_is_sent_to_sign_in(alice):
    job = run_import(MIXED, owner=alice)

    for address in (JOBS, page_of(job), page_of(job, "rows/")):
        assert Client().get(address).status_code == 302


# --- Start and cancel --------------------------------------------------------


def act(client, action, *jobs):
    chosen = {"action": action, "_selected_action": [job.pk for job in jobs]}
    return text_of(client.post(JOBS, chosen, follow=True))


def test_imports_are_started_and_cancelled(admin):
    ready, waiting = check_job(make_job(MIXED, check_first=True)), make_job(MIXED)

    act(admin, "start", ready)
    act(admin, "cancel", waiting)

    assert status_of(ready) == Status.RUNNING
    assert status_of(waiting) == Status.CANCELLED


def test_what_the_status_forbids_is_said_and_the_rest_done(admin):
    done, waiting = run_import(MIXED), make_job(MIXED)

    shown = act(admin, "cancel", done, waiting)

    assert "Not cancelled, because its status is “Complete”: customers.csv." in shown
    assert (status_of(done), status_of(waiting)) == (Status.COMPLETE, Status.CANCELLED)


@real_commits
def test_of_many_each_is_named_under_what_became_of_it(admin):
    def named(job, name):
        ImportJob.objects.filter(pk=job.pk).update(file_name=name)
        return job

    waiting = [named(make_job(MIXED), f"w{n}.csv") for n in range(2)]
    done = [named(run_import(MIXED), f"d{n}.csv") for n in range(2)]

    shown = act(admin, "cancel", *waiting, *done)
    again = act(admin, "cancel", *waiting)

    assert "Cancelled: w1.csv, w0.csv." in shown
    assert "Not cancelled, because its status is “Complete”: d1.csv, d0.csv." in shown
    assert "Not cancelled, because its status is “Cancelled”: w1.csv, w0.csv." in again


def test_what_is_not_ready_is_not_started(admin):
    waiting, done = make_job(MIXED), run_import(MIXED)

    shown = act(admin, "start", waiting, done)

    assert "Not started, because its status is “Waiting for a worker”: customers.csv." in shown
    assert "Not started, because its status is “Complete”: customers.csv." in shown
    assert (status_of(waiting), status_of(done)) == (Status.QUEUED, Status.COMPLETE)


def test_too_many_at_once_are_refused_before_anything_is_done(admin, monkeypatch):
    monkeypatch.setattr(actions, "MOST_AT_ONCE", 1)
    first, second = make_job(MIXED), make_job(MIXED)

    shown = act(admin, "cancel", first, second)

    assert "Nothing was done: choose at most 1 imports at a time." in shown
    assert status_of(first) == status_of(second) == Status.QUEUED


def test_who_did_it_is_in_the_history(admin, root):
    job = make_job(MIXED)

    act(admin, "cancel", job, run_import(MIXED))

    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (root, str(job.pk))
    assert "Cancelled: customers.csv." in text_of(admin.get(page_of(job, "history/")))


@real_commits
def test_an_imports_own_page_offers_what_its_status_allows(admin):
    ready, waiting = check_job(make_job(MIXED, check_first=True)), make_job(MIXED)

    def buttons(job):
        shown = text_of(admin.get(page_of(job)))
        return [move for move in ("start", "cancel") if f'="{page_of(job, move)}/"' in shown]

    assert buttons(ready) == ["start", "cancel"]
    assert buttons(waiting) == ["cancel"]
    started = admin.post(page_of(ready, "start/"), follow=True)
    assert "Started: customers.csv." in text_of(started)
    assert status_of(ready) == Status.RUNNING
    assert buttons(ready) == ["cancel"]
    assert buttons(run_import(MIXED)) == []


def test_a_page_that_is_out_of_date_says_how_the_import_stands(admin):
    job = make_job(MIXED)
    lifecycle.cancel(job.pk)

    shown = text_of(admin.post(page_of(job, "cancel/"), follow=True))

    assert "Not cancelled, because its status is “Cancelled”" in shown


def test_nothing_is_moved_by_a_link_or_without_a_token(admin, root):
    job = make_job(MIXED)

    assert admin.get(page_of(job, "cancel/")).status_code == 405
    wary = logged_in_client(root, enforce_csrf_checks=True)
    assert wary.post(page_of(job, "cancel/")).status_code == 403
    assert status_of(job) == Status.QUEUED


def test_who_may_only_look_cannot_cancel(alice, eve):
    job, client = make_job(MIXED, owner=alice), logged_in_client(eve)

    act(client, "cancel", job)
    client.post(page_of(job, "cancel/"))

    assert status_of(job) == Status.QUEUED
    assert 'value="cancel"' not in text_of(client.get(JOBS))
    assert "formaction" not in text_of(client.get(page_of(job)))


def test_who_may_not_see_an_import_cannot_cancel_it(alice):
    job = make_job(MIXED, owner=alice)
    fay = create_user("fay", "add_importjob", "view_importjob", is_staff=True)

    assert logged_in_client(fay).post(page_of(job, "cancel/")).status_code == 404
    assert status_of(job) == Status.QUEUED


def test_who_sees_all_and_imports_cancels_only_ones_own(alice):
    gus = create_user("gus", "view_all", "add_importjob", is_staff=True)
    hers, own = make_job(MIXED, owner=alice), make_job(MIXED, owner=gus)

    shown = act(logged_in_client(gus), "cancel", hers, own)

    assert "You may look at these imports, but not start or stop them: customers.csv." in shown
    assert (status_of(hers), status_of(own)) == (Status.QUEUED, Status.CANCELLED)


def test_who_controls_all_cancels_any(alice):
    hal = create_user("hal", "control_all", is_staff=True)
    job = make_job(MIXED, owner=alice)

    act(logged_in_client(hal), "cancel", job)

    assert status_of(job) == Status.CANCELLED


def status_of(job):
    return ImportJob.objects.get(pk=job.pk).status


# --- Rows --------------------------------------------------------------------


def test_rows_are_shown_a_hundred_at_a_time(admin):
    job = run_import(make_csv([make_row(n) for n in range(150)]))

    first = admin.get(page_of(job, "rows/"))
    second = admin.get(page_of(job, f"rows/?after={first.context['next']}"))

    assert [row["number"] for row in first.context["rows"]] == list(range(2, 102))
    assert [row["number"] for row in second.context["rows"]] == list(range(102, 152))
    assert second.context["next"] is None
    assert 'rel="next"' in text_of(first)
    assert 'rel="next"' not in text_of(second)


def test_rows_can_be_asked_for_an_outcome(admin):
    job = run_import(MIXED)

    refused = admin.get(page_of(job, "rows/?outcome=failed"))
    created = admin.get(page_of(job, "rows/?outcome=created"))

    assert [row["number"] for row in refused.context["rows"]] == [3, 5]
    assert "This is not a phone number we can call." in text_of(refused)
    assert [row["number"] for row in created.context["rows"]] == [2, 4]
    assert "MARK 3" in text_of(created)


def test_a_hostile_cell_is_shown_as_text(admin):
    job = run_import(make_csv([make_row(1, phone="<script>alert(1)</script>")]))

    shown = admin.get(page_of(job, "rows/")).content.decode()

    assert "<script>alert(1)" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_rows_stand_under_the_names_of_their_columns(admin):
    headers = ["Phone", "Last name", "First name", "Mark", "Note"]
    rows = [["+233240000001", "Mensah", "Ama", "M 1", "x"], ["12", "Mensah", "Efua", "M 2", "y"]]
    job = run_import(make_csv(rows, headers))

    context = admin.get(page_of(job, "rows/")).context

    assert context["headers"] == ["Shipping mark", "First name", "Last name", "E-mail", "Phone"]
    created, refused = (row["values"] for row in context["rows"])
    assert created == ["M 1", "Ama", "Mensah", None, "+233240000001"]
    assert refused == ["M 2", "Efua", "Mensah", None, "12"]


def test_a_row_leads_to_its_customer_for_who_may_see_customers(admin, eve):
    job = run_import(MIXED)
    address = f"{CUSTOMERS}{Customer.objects.earliest('pk').pk}/change/"

    assert f'<a href="{address}">' in text_of(admin.get(page_of(job, "rows/")))
    assert CUSTOMERS not in text_of(logged_in_client(eve).get(page_of(job, "rows/")))


def test_the_rows_of_one_cause_go_on_to_its_next_page(admin, monkeypatch):
    monkeypatch.setattr("imports.admin.rows.ROWS_A_PAGE", 1)
    job = run_import(
        make_csv([make_row(1, phone="1"), make_row(2, last=""), make_row(3, phone="3")])
    )
    cause = "outcome=failed&column=phone&code=phone_too_short"

    first = admin.get(page_of(job, f"rows/?{cause}"))

    assert f'href="?{cause}&after=2"' in text_of(first)
    second = admin.get(page_of(job, f"rows/?{cause}&after=2"))
    assert [row["number"] for row in second.context["rows"]] == [4]
    assert second.context["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        *("outcome=lost", "after=-1", "after=x", "after=99999999999", "column=phone"),
        *("code=%00", "column=%00phone"),
    ],
)
def test_a_senseless_question_about_rows_shows_the_first(admin, query):
    job = run_import(MIXED)

    assert len(admin.get(page_of(job, f"rows/?{query}")).context["rows"]) == 4


def test_rows_of_no_import_are_not_there(admin):
    address = f"{JOBS}00000000-0000-0000-0000-000000000000/rows/"

    assert admin.get(address).status_code == 404


# --- Batches and workers -----------------------------------------------------


def test_batches_show_what_is_written_and_what_is_not(admin, settings):
    settings.IMPORT_BATCHES_A_FILE = 2
    job = check_job(make_job(make_csv([make_row(n) for n in range(100)])))
    batch_applier.apply_batch(job.pk, 1, worker="host:7")

    shown = text_of(admin.get(f"{BATCHES}?job__id__exact={job.pk}"))
    unwritten = text_of(admin.get(f"{BATCHES}?applied_at__isempty=1"))

    assert "host:7" in shown
    assert "2 batches" in shown
    assert "1 batch\n" in unwritten


def test_a_worker_is_alive_for_as_long_as_it_says_so(admin, settings):
    current_work = [{"what": "checking 4711", "seconds": 3}]
    Worker.objects.create(name="here", current_work=current_work)
    long_ago = timezone.now() - timedelta(seconds=settings.IMPORT_WORKER_SILENT_SECONDS + 1)
    gone = Worker.objects.create(name="gone")
    Worker.objects.filter(pk=gone.pk).update(heartbeat_at=long_ago)

    shown = text_of(admin.get(WORKERS))

    assert "checking 4711 (3 s)" in shown
    assert shown.count('alt="True"') == shown.count('alt="False"') == 1
    assert "checking 4711" in text_of(admin.get(f"{WORKERS}{Worker.objects.first().pk}/change/"))


# --- Customers ---------------------------------------------------------------


def test_a_customer_names_the_import_and_row_it_came_from(admin, alice):
    job = run_import(make_csv([make_row(7), make_row(8)]), owner=alice)
    customer = Customer.objects.get(shipping_mark="MARK 8")
    origin = f'<a href="{page_of(job, "rows/")}?after=2">customers.csv, row 3</a>'

    assert origin in text_of(admin.get(CUSTOMERS))
    assert origin in text_of(admin.get(f"{CUSTOMERS}{customer.pk}/change/"))
    assert admin.get(f"{page_of(job, 'rows/')}?after=2").context["rows"][0]["number"] == 3


def test_an_origin_is_shown_to_who_may_see_the_import(alice, bob):
    own, hers = ["view_customer", "add_importjob"], ["view_customer", "view_all"]
    job = run_import(make_csv([make_row(7)]), owner=alice)
    alice.user_permissions.add(*create_user("x", *own).user_permissions.all())
    for person_, words in (
        (alice, f'href="/imports/{job.pk}/">customers.csv, row 2'),
        (create_user("ian", *hers), 'rows/?after=1">customers.csv, row 2'),
    ):
        person_.is_staff = True
        person_.save()
        assert words in text_of(logged_in_client(person_).get(CUSTOMERS))
    stranger = logged_in_client(create_user("jan", *own, is_staff=True))
    assert "customers.csv" not in text_of(stranger.get(CUSTOMERS))
    assert "MARK 7" in text_of(stranger.get(CUSTOMERS))


def test_a_customer_typed_by_hand_came_from_no_import(admin):
    Customer.objects.create(shipping_mark="M", last_name="L", first_name="F", phone="+2332")

    assert '<td class="field-came_from">-</td>' in text_of(admin.get(CUSTOMERS))
    assert text_of(admin.get(f"{CUSTOMERS}add/"))


@pytest.mark.parametrize("sought", ["MARK 7", "+233240000007", "Mensah7", "ama7@example"])
def test_a_customer_is_found(admin, sought):
    run_import(make_csv([make_row(7), make_row(8)]))

    found = admin.get(CUSTOMERS, {"q": sought}).context["cl"].result_list

    assert [customer.shipping_mark for customer in found] == ["MARK 7"]


def test_a_customer_edited_by_hand_obeys_the_rules_of_a_file(admin):
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

    refused = admin.post(address, typed | {"phone": "12"})
    taken = admin.post(address, typed | {"phone": "024 000 0002"})
    accepted = admin.post(address, typed)

    assert "This is not a phone number we can call." in text_of(refused)
    assert "already exists" in text_of(taken)
    assert accepted.status_code == 302
    customer.refresh_from_db()
    assert (customer.shipping_mark, customer.phone) == ("ACC 1", "+233244123456")
    assert customer.email is None


# --- Cost --------------------------------------------------------------------


@real_commits
@pytest.mark.parametrize("address", [JOBS, BATCHES, WORKERS, CUSTOMERS])
def test_a_longer_list_asks_no_more_of_the_database(admin, address, alice, bob):
    def more(first, count):
        for n in range(first, first + count):
            run_import(make_csv([make_row(n)]), owner=alice if n % 2 else bob)
            Worker.objects.create(name=f"w{n}")
            make_job(b"x", owner=alice)

    more(0, 3)
    admin.get(address)
    few = queries_for(admin, address)
    more(3, 8)

    assert queries_for(admin, address) == few


@real_commits
@pytest.mark.parametrize("rest", ["change/", "rows/", "rows/?outcome=created"])
def test_a_larger_import_asks_no_more_of_the_database(admin, rest, settings):
    settings.IMPORT_BATCHES_A_FILE = 4

    def queries(size):
        rows = [
            make_row(size * n, phone="1" if n % 5 == 0 else f"0244{size:03}{n:03}")
            for n in range(size)
        ]
        job = apply_all_batches(check_job(make_job(make_csv(rows))).pk)
        for batch in job.batches.all():
            batch.attempts.create(session="", worker=f"w{batch}", started_at=timezone.now())
        admin.get(page_of(job, rest))
        return queries_for(admin, page_of(job, rest))

    assert queries(10) == queries(250)
