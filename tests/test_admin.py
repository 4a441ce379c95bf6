"""Django's admin: what happened can be read by those who may, changed by nobody, and stays fast."""

from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from customers.models import Customer
from imports.models import ImportBatch, ImportJob, ImportRow, Worker
from imports.pipeline import applying
from imports.statuses import Status
from tests.conftest import signed_in, user
from tests.making import apply_all, check, csv_file, make_job, person, run_import

pytestmark = pytest.mark.django_db
real_commits = pytest.mark.django_db(transaction=True)

JOBS, BATCHES, WORKERS = (
    f"/admin/imports/{name}/" for name in ("importjob", "importbatch", "worker")
)
CUSTOMERS = "/admin/customers/customer/"
MIXED = csv_file([person(1), person(2, phone="12"), person(3), person(4, phone="34", last="")])


@pytest.fixture
def admin(root):
    return signed_in(root)


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
    assert '<progress max="100" value="100">' in shown
    assert '<td class="field-speed">2</td>' in shown


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=ALICE", {"a.csv", "b.csv"}),
        ("q=c.csv", {"c.csv"}),
        ("status__exact=CANCELLED", {"b.csv"}),
        ("importer=customers", {"a.csv", "b.csv", "c.csv"}),
        ("created_at__year=1999", set()),
    ],
)
def test_imports_are_found(admin, alice, bob, query, names):
    for name, owner in (("a.csv", alice), ("b.csv", alice), ("c.csv", bob)):
        job = make_job(b"x", owner=owner)
        ImportJob.objects.filter(pk=job.pk).update(file_name=name)
        if name == "b.csv":
            ImportJob.objects.move(job.pk, Status.CANCELLED)

    shown = text_of(admin.get(f"{JOBS}?{query}"))

    assert {name for name in ("a.csv", "b.csv", "c.csv") if f">{name}<" in shown} == names


def test_an_imports_page_tells_why_rows_were_refused_and_when_batches_were_written(admin):
    job = run_import(MIXED)

    shown = text_of(admin.get(page_of(job)))

    assert "This is not a phone number we can call." in shown
    assert f'href="{page_of(job, "rows/")}?outcome=failed&after=2">3, 5</a>' in shown
    assert "2\u20134" in shown
    assert 'name="_save"' not in shown


@real_commits
def test_a_failed_import_says_why(admin):
    job = check(make_job(b"%PDF-1.7"))

    assert "Failed: This is a PDF" in text_of(admin.get(page_of(job)))


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
    client = signed_in(eve)

    for address in (JOBS, page_of(job), page_of(job, "rows/"), BATCHES, WORKERS):
        assert client.get(address).status_code == 200
    assert "customers.csv" in text_of(client.get(JOBS))


def test_staff_without_permission_see_nothing(alice):
    job = run_import(MIXED, owner=alice)
    client = signed_in(user("dan", is_staff=True))

    for address in (JOBS, BATCHES, WORKERS, CUSTOMERS):
        assert client.get(address).status_code == 403
    assert client.get(page_of(job)).status_code in {302, 403}
    assert client.get(page_of(job, "rows/")).status_code in {403, 404}


def test_to_import_is_not_yet_to_review():
    ivy = user("ivy", "add_importjob", is_staff=True)
    own, client = run_import(MIXED, owner=ivy), signed_in(ivy)

    for address in (JOBS, page_of(own), page_of(own, "rows/")):
        assert client.get(address).status_code in {403, 404}


def test_staff_who_import_see_their_own_only(alice):
    hers = run_import(MIXED, owner=alice)
    fay = user("fay", "add_importjob", "view_importjob", "view_importbatch", is_staff=True)
    own, client = make_job(b"x", owner=fay), signed_in(fay)

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
    ready, waiting = check(make_job(MIXED, check_first=True)), make_job(MIXED)

    act(admin, "start", ready)
    act(admin, "cancel", waiting)

    assert status_of(ready) == Status.RUNNING
    assert status_of(waiting) == Status.CANCELLED


def test_what_the_status_forbids_is_said_and_the_rest_done(admin):
    done, waiting = run_import(MIXED), make_job(MIXED)

    shown = act(admin, "cancel", done, waiting)

    assert "An import that is COMPLETE cannot become CANCELLED." in shown
    assert (status_of(done), status_of(waiting)) == (Status.COMPLETE, Status.CANCELLED)


def test_who_may_only_look_cannot_cancel(alice, eve):
    job, client = make_job(MIXED, owner=alice), signed_in(eve)

    act(client, "cancel", job)

    assert status_of(job) == Status.QUEUED
    assert 'value="cancel"' not in text_of(client.get(JOBS))


def test_who_sees_all_and_imports_cancels_only_ones_own(alice):
    gus = user("gus", "view_all", "add_importjob", is_staff=True)
    hers, own = make_job(MIXED, owner=alice), make_job(MIXED, owner=gus)

    shown = act(signed_in(gus), "cancel", hers, own)

    assert "You may look at this import, but not start or stop it." in shown
    assert (status_of(hers), status_of(own)) == (Status.QUEUED, Status.CANCELLED)


def test_who_controls_all_cancels_any(alice):
    hal = user("hal", "control_all", is_staff=True)
    job = make_job(MIXED, owner=alice)

    act(signed_in(hal), "cancel", job)

    assert status_of(job) == Status.CANCELLED


def status_of(job):
    return ImportJob.objects.get(pk=job.pk).status


# --- Rows --------------------------------------------------------------------


def test_rows_are_shown_a_hundred_at_a_time(admin):
    job = run_import(csv_file([person(n) for n in range(150)]))

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
    job = run_import(csv_file([person(1, phone="<script>alert(1)</script>")]))

    shown = admin.get(page_of(job, "rows/")).content.decode()

    assert "<script>alert(1)" not in shown
    assert "&lt;script&gt;alert(1)" in shown


@pytest.mark.parametrize("query", ["outcome=lost", "after=-1", "after=x", "after=99999999999"])
def test_a_senseless_question_about_rows_shows_the_first(admin, query):
    job = run_import(MIXED)

    assert len(admin.get(page_of(job, f"rows/?{query}")).context["rows"]) == 4


def test_rows_of_no_import_are_not_there(admin):
    address = f"{JOBS}00000000-0000-0000-0000-000000000000/rows/"

    assert admin.get(address).status_code == 404


# --- Batches and workers -----------------------------------------------------


def test_batches_show_what_is_written_and_what_is_not(admin, settings):
    settings.IMPORT_BATCHES_A_FILE = 2
    job = check(make_job(csv_file([person(n) for n in range(100)])))
    applying.apply_batch(job.pk, 1, worker="host:7")

    shown = text_of(admin.get(f"{BATCHES}?job__id__exact={job.pk}"))
    unwritten = text_of(admin.get(f"{BATCHES}?applied_at__isempty=1"))

    assert "host:7" in shown
    assert "2 batches" in shown
    assert "1 batch\n" in unwritten


def test_a_worker_is_alive_for_as_long_as_it_says_so(admin, settings):
    doing = [{"what": "checking 4711", "seconds": 3}]
    Worker.objects.create(name="here", doing=doing)
    long_ago = timezone.now() - timedelta(seconds=settings.IMPORT_WORKER_SILENT_SECONDS + 1)
    gone = Worker.objects.create(name="gone")
    Worker.objects.filter(pk=gone.pk).update(seen_at=long_ago)

    shown = text_of(admin.get(WORKERS))

    assert "checking 4711 (3 s)" in shown
    assert shown.count('alt="True"') == shown.count('alt="False"') == 1
    assert "checking 4711" in text_of(admin.get(f"{WORKERS}{Worker.objects.first().pk}/change/"))


# --- Customers ---------------------------------------------------------------


@pytest.mark.parametrize("sought", ["MARK 7", "+233240000007", "Mensah7", "ama7@example"])
def test_a_customer_is_found(admin, sought):
    run_import(csv_file([person(7), person(8)]))

    found = admin.get(CUSTOMERS, {"q": sought}).context["cl"].result_list

    assert [customer.shipping_mark for customer in found] == ["MARK 7"]


def test_a_customer_edited_by_hand_obeys_the_rules_of_a_file(admin):
    run_import(csv_file([person(1), person(2)]))
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
            run_import(csv_file([person(n)]), owner=alice if n % 2 else bob)
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
            person(size * n, phone="1" if n % 5 == 0 else f"0244{size:03}{n:03}")
            for n in range(size)
        ]
        job = apply_all(check(make_job(csv_file(rows))).pk)
        admin.get(page_of(job, rest))
        return queries_for(admin, page_of(job, rest))

    assert queries(10) == queries(250)
