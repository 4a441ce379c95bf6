"""The pages as the server renders them: right without any script."""

import re
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from imports import row_results
from imports.models import ImportJob, ImportRow, Worker
from imports.pages import views
from imports.statuses import ALLOWED_TRANSITIONS, FINAL_STATUSES, OnDuplicate, Outcome, Status
from tests.conftest import create_user, logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db

committed = pytest.mark.django_db(transaction=True)  # Two imports through the pipeline.

HOSTILE = '<img src=x onerror="alert(1)">'
STATIC = Path(__file__).resolve().parents[1] / "static" / "imports"
SAYS = {
    Status.QUEUED: "Place in the queue:",
    Status.CHECKING: "Rows checked",
    Status.MAPPING: "These columns were not recognised: Shipping mark.",
    Status.READY: "nothing is written yet",
    Status.RUNNING: "Rows done",
    Status.PAUSED: "Paused",
    Status.COMPLETE: "rows are in.",
    Status.CANCELLED: "The import was stopped before its end.",
    Status.FAILED: "The file is empty.",
    Status.UNDOING: "Undoing",
    Status.UNDONE: "Undone",
}
ERRORS = {
    Status.MAPPING: ("missing_columns", {"columns": ["shipping_mark"]}),
    Status.FAILED: ("empty_file", None),
}


def create_import(status, owner, **fields):
    """An import in any status, as its row alone tells it."""
    code, params = ERRORS.get(status, (None, None))
    counts = {"total": 3, "checked": 3, "processed": 3, "created": 2, "failed": 1}
    return ImportJob.objects.create(
        owner=owner,
        file_size=1,
        status=status,
        error_code=code,
        error_params=params,
        started_at=timezone.now() - timedelta(seconds=75),
        finished_at=timezone.now() if status in FINAL_STATUSES else None,
        **{"file_name": "customers.csv", "importer": "customers"} | counts | fields,
    )


def get_import_page(client, job, query=""):
    response = client.get(reverse("import", args=[job.pk]) + query)
    return response, response.content.decode()


def get_rows_page(client, job, query=""):
    response = client.get(reverse("import-rows", args=[job.pk]) + query)
    return response.content.decode()


def row_numbers(html):
    return [int(n) for n in re.findall(r'scope="rowgroup"[^>]*>(\d+)<', html)]


def visible_text(html):
    """What a reader sees of it, roughly."""
    shown = re.sub(r"<(p|span|div|dl)\b[^>]* hidden[^>]*>.*?</\1>", "", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", "", shown).split())


def send(client, **fields):
    sent = {"importer": "customers", "on_duplicate": "skip"} | fields
    return client.post(reverse("imports"), sent)


def file(name="customers.csv", content=None):
    return SimpleUploadedFile(name, make_csv([make_row(1)]) if content is None else content)


def act(client, job, what):
    return client.post(reverse(f"import-{what}", args=[job.pk]), follow=True)


@pytest.mark.parametrize(
    ("status", "created", "is_shown"),
    [
        *((Status.RUNNING, 2, True), (Status.COMPLETE, 2, True), (Status.READY, 2, False)),
        *((Status.CANCELLED, 2, True), (Status.CANCELLED, 0, False)),
    ],
)
def test_counts_of_what_was_done_are_shown_once_something_was(alice, status, created, is_shown):
    job = create_import(status, alice, created=created, failed=3 - created)

    _, html = get_import_page(logged_in_client(alice), job)

    assert ("Unchanged0" in visible_text(html)) == is_shown


@pytest.mark.parametrize(("policy", "is_told"), [("update", True), ("skip", False)])
def test_what_an_empty_cell_does_is_told_where_it_does_anything(alice, policy, is_told):
    job = create_import(Status.READY, alice, on_duplicate=policy, empty_cells="clear")

    _, html = get_import_page(logged_in_client(alice), job)

    assert ("If one of its cells is empty: Remove the old value" in visible_text(html)) == is_told


@pytest.mark.parametrize(("most", "badge"), [(1, "1+ refused"), (2, "2 refused")])
def test_what_is_counted_in_part_is_told_so(alice, monkeypatch, most, badge):
    rows = [make_row(n, phone="no") for n in (1, 2)]
    job = run_import(make_csv(rows), owner=alice)
    monkeypatch.setattr(row_results, "MAX_GROUPED_ROWS", most)

    _, html = get_import_page(logged_in_client(alice), job)

    assert badge in visible_text(html)


def test_a_file_uploaded_before_is_named_with_what_became_of_it(alice):
    create_import(Status.FAILED, alice, file_digest="x", file_name="first.csv")

    _, html = get_import_page(
        logged_in_client(alice), create_import(Status.READY, alice, file_digest="x")
    )

    told = r"This very file was uploaded before: first.csv, .*? \(Failed\)"
    assert re.search(told, visible_text(html))


@pytest.mark.parametrize(("check_first", "then"), [(True, "checked."), (False, "imported.")])
def test_who_is_asked_for_columns_knows_what_comes_then(alice, check_first, then):
    _, html = get_import_page(
        logged_in_client(alice), create_import(Status.MAPPING, alice, check_first=check_first)
    )

    told = re.search("which; then the rows are ([a-z ]+[.])", visible_text(html))
    assert told[1].split()[-1] == then


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "took < 1 s"), (75, "took 1 min 15 s")])
def test_an_import_says_how_long_it_took(alice, seconds, said):
    job = create_import(Status.COMPLETE, alice)
    ImportJob.objects.update(started_at=job.finished_at - timedelta(seconds=seconds))

    _, html = get_import_page(logged_in_client(alice), job)

    assert said in unescape(visible_text(html))


# --- Who sees what -----------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
def test_each_status_has_a_page_in_words(alice, status):
    response, html = get_import_page(logged_in_client(alice), create_import(status, alice))

    assert response.status_code == 200
    assert SAYS[status] in visible_text(html)
    assert f'data-status="{status}"' in html


@pytest.mark.parametrize("status", list(Status))
def test_another_users_import_is_not_there(alice, bob, status):
    client, job = logged_in_client(bob), create_import(status, alice)

    links = [reverse(f"import-{name}", args=[job.pk]) for name in ("rows", "chart")]
    answers = [
        get_import_page(client, job)[0],
        *map(client.get, links),
        act(client, job, "start"),
        act(client, job, "cancel"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert "There is nothing here" in answers[0].content.decode()
    assert "customers.csv" not in client.get(reverse("imports")).content.decode()


@pytest.mark.parametrize("name", ["imports", "import", "import-start", "import-cancel"])
def test_who_is_not_signed_in_is_asked_to(client, alice, name):
    job = create_import(Status.READY, alice)
    address = reverse(name, args=[job.pk] if name != "imports" else [])

    response = (client.get if name in {"imports", "import"} else client.post)(address)

    assert response.status_code == 302
    assert response["Location"] == f"{reverse('login')}?next={address}"


def test_who_may_only_look_gets_no_buttons(alice, eve):
    client, job = logged_in_client(eve), create_import(Status.READY, alice)

    _, html = get_import_page(client, job)

    assert "nothing is written yet" in html
    assert reverse("import-start", args=[job.pk]) not in html
    assert reverse("import-cancel", args=[job.pk]) not in html
    assert act(client, job, "cancel").status_code == 404
    assert "alice" in html  # Whose it is.


def test_who_may_not_import_gets_no_form(eve):
    client = logged_in_client(eve)

    assert 'type="file"' not in client.get(reverse("imports")).content.decode()
    assert send(client, file=file()).status_code == 403
    assert not ImportJob.objects.exists()


def test_signing_in_and_out(client):
    person_ = create_user("clerk", "add_importjob")
    person_.set_password("sesame")
    person_.save()

    wrong = client.post(reverse("login"), {"username": "clerk", "password": "no"})
    right = client.post(reverse("login"), {"username": "clerk", "password": "sesame"}, follow=True)
    out = client.post(reverse("logout"), follow=True)

    assert "Please enter a correct username" in wrong.content.decode()
    assert "Import a spreadsheet" in right.content.decode()
    assert out.redirect_chain[-1][0] == reverse("login")


# --- Upload ------------------------------------------------------------------


def test_the_form_makes_an_import_without_any_script(alice):
    response = send(logged_in_client(alice), file=file(), on_duplicate="update", check_first="on")

    job = ImportJob.objects.get()
    assert (response.status_code, response["Location"]) == (302, reverse("import", args=[job.pk]))
    assert (job.owner, job.on_duplicate, job.check_first) == (alice, OnDuplicate.UPDATE, True)
    assert job.file.open().read() == make_csv([make_row(1)])


def test_a_corrected_file_is_taken_as_the_first_one_was(alice):
    told = {"on_duplicate": "update", "empty_cells": "clear", "check_first": True}
    job = create_import(Status.COMPLETE, alice, importer="parcels", **told)
    client = logged_in_client(alice)
    link = f"{reverse('imports')}?corrects={job.pk}"
    assert f'href="{link}"' in get_import_page(client, job)[1]

    html = client.get(link).content.decode()

    assert chosen_in(html) == {"parcels", "update", "clear", "check_first"}
    assert f'Set as it was for <a href="{reverse("import", args=[job.pk])}">' in html


@pytest.mark.parametrize("asked", ["theirs", "unknown", "nonsense", "\x00"])
def test_an_import_that_the_reader_may_not_see_presets_nothing(alice, bob, asked):
    theirs = create_import(Status.COMPLETE, bob, on_duplicate="update", empty_cells="clear")
    keys = {"theirs": theirs.pk, "unknown": uuid4()}

    response = logged_in_client(alice).get(reverse("imports"), {"corrects": keys.get(asked, asked)})

    assert response.status_code == 200
    assert chosen_in(response.content.decode()) == {"skip"}


def test_an_import_whose_importer_is_gone_presets_nothing(alice):
    job = create_import(Status.COMPLETE, alice, importer="gone", on_duplicate="update")

    html = logged_in_client(alice).get(f"{reverse('imports')}?corrects={job.pk}").content.decode()

    assert "update" not in chosen_in(html)
    assert "Set as it was for" not in html


def chosen_in(html):
    """What is ticked or selected in the upload form."""
    form = html.split('id="upload"')[1].split("</form>")[0]
    boxes = re.findall(r'<input type="checkbox" name="(\w+)"[^>]* checked', form)
    radios = re.findall(r'<input type="radio"[^>]* value="(\w+)"[^>]* checked', form)
    return {*boxes, *radios, *re.findall(r'<option value="(\w+)" selected', form)}


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({}, "Choose a file first."),
        ({"file": b""}, "The file is empty."),
        ({"file": b"x" * 11}, "The file is larger than 10\xa0bytes."),
        ({"file": b"x", "on_duplicate": "maybe"}, "Select a valid choice."),
        ({"file": b"x", "importer": "nobody"}, "Select a valid choice."),
    ],
)
def test_a_form_that_is_wrong_says_so_and_stores_nothing(alice, settings, sent, sentence):
    settings.IMPORT_MAX_UPLOAD_BYTES = 10
    if "file" in sent:
        sent = sent | {"file": file(content=sent["file"])}

    response = send(logged_in_client(alice), **sent)

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not ImportJob.objects.exists()


def test_of_several_files_the_empty_one_is_named_without_any_script_too(alice):
    response = send(
        logged_in_client(alice), file=[file("a.csv"), file("bad.csv", b""), file("b.csv")]
    )

    assert response.status_code == 422
    assert "bad.csv: The file is empty." in response.content.decode()
    assert not ImportJob.objects.exists()


def test_the_page_says_what_is_expected(alice):
    text = visible_text(logged_in_client(alice).get(reverse("imports")).content.decode())

    for words in ("Shipping mark", "E-mail optional", ".xlsx", "Check first", "Skip it"):
        assert words in text


@pytest.mark.parametrize(
    "ending", [".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".csv", ".tsv", ".json", ".jsonl"]
)
def test_every_kind_of_file_that_can_be_read_can_be_chosen(alice, ending):
    html = logged_in_client(alice).get(reverse("imports")).content.decode()

    (accepted,) = re.findall(r'accept="([^"]+)"', html)
    assert ending in accepted.split(",")
    assert ending in visible_text(html) or ending in {".csv", ".tsv"}


def test_the_newest_import_comes_first_and_the_rest_on_further_pages(alice):
    for number in range(views.IMPORTS_A_PAGE + 1):
        create_import(Status.COMPLETE, alice, file_name=f"file-{number}.csv")
    client = logged_in_client(alice)

    first = client.get(reverse("imports")).content.decode()
    second = client.get(reverse("imports") + "?page=2").content.decode()

    newest_first = re.findall(r"file-(\d+)\.csv", first)
    assert newest_first == [str(n) for n in range(views.IMPORTS_A_PAGE, 0, -1)]
    assert re.findall(r"file-(\d+)\.csv", second) == ["0"]


# --- Under way ---------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.QUEUED, Status.CHECKING, Status.RUNNING])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_page_without_workers_says_so(alice, status, workers, monkeypatch):
    monkeypatch.setattr("imports.snapshots._workers", (-1e9, 0))
    for _ in range(workers):
        Worker.objects.create(name="somewhere")

    _, html = get_import_page(logged_in_client(alice), create_import(status, alice))

    assert ("No worker is running" in visible_text(html)) == (workers == 0)


@pytest.mark.parametrize("stalled", [True, False])
def test_a_stalled_import_says_so(alice, stalled, monkeypatch):
    monkeypatch.setattr("imports.snapshots._workers", (-1e9, 0))
    Worker.objects.create(name="somewhere")
    job = create_import(Status.RUNNING, alice)
    if stalled:
        ImportJob.objects.update(updated_at=timezone.now() - timedelta(minutes=1))

    _, html = get_import_page(logged_in_client(alice), job)

    assert ("Nothing has moved for a while" in visible_text(html)) == stalled


def test_numbers_times_and_durations_are_readable(alice):
    job = create_import(
        Status.COMPLETE, alice, total=7000, checked=7000, processed=7000, created=6999, failed=1
    )

    _, html = get_import_page(logged_in_client(alice), job)

    assert "6,999 of 7,000 rows are in. 1 was refused." in visible_text(html)
    assert "took 1 min 15 s" in visible_text(html)
    assert f'<time datetime="{job.created_at:%Y-%m-%dT%H:%M}' in html


def test_without_script_a_page_on_its_way_reloads_itself_and_others_do_not(alice):
    client = logged_in_client(alice)
    pages = {
        s: get_import_page(client, create_import(s, alice))[1]
        for s in (Status.RUNNING, Status.COMPLETE)
    }

    assert '<noscript><meta http-equiv="refresh"' in pages[Status.RUNNING]
    assert "refresh" not in pages[Status.COMPLETE]


def test_the_script_is_told_where_to_ask(alice):
    job = create_import(Status.RUNNING, alice)

    _, html = get_import_page(logged_in_client(alice), job)

    assert f'data-status-url="/api/imports/{job.pk}/"' in html
    assert f'data-events-url="/api/imports/{job.pk}/events/"' in html


# --- Start and cancel --------------------------------------------------------


@committed
def test_a_checked_file_says_what_would_happen_and_starts(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    rows = [make_row(1, first="Efua"), make_row(2), make_row(3, phone="12")]
    job = check_job(
        make_job(make_csv(rows), owner=alice, check_first=True, on_duplicate=OnDuplicate.UPDATE)
    )
    client = logged_in_client(alice)

    _, html = get_import_page(client, job)
    started = act(client, job, "start")

    for sentence in ("1 row will be created", "1 row exists and will be", "1 row will be refused"):
        assert sentence in visible_text(html)
    assert started.redirect_chain == [(reverse("import", args=[job.pk]), 302)]
    job.refresh_from_db()
    assert job.status == Status.RUNNING


def test_an_import_is_cancelled(alice):
    job = create_import(Status.RUNNING, alice, processed=0, created=0, failed=0)

    answer = act(logged_in_client(alice), job, "cancel")

    assert "Nothing was written." in visible_text(answer.content.decode())
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


@pytest.mark.parametrize("what", ["start", "cancel"])
def test_what_is_too_late_is_said_and_changes_nothing(alice, what):
    job = create_import(Status.COMPLETE, alice)

    answer = act(logged_in_client(alice), job, what)

    assert answer.status_code == 200
    assert "That is no longer possible" in answer.content.decode()
    job.refresh_from_db()
    assert job.status == Status.COMPLETE


@pytest.mark.parametrize("what", ["start", "cancel", "mapping", "options"])
def test_a_link_or_a_reload_changes_nothing_and_shows_the_import(alice, what):
    job = create_import(Status.READY, alice)

    response = logged_in_client(alice).get(reverse(f"import-{what}", args=[job.pk]))

    assert response.status_code == 302
    assert response["Location"] == reverse("import", args=[job.pk])
    job.refresh_from_db()
    assert (job.status, job.version) == (Status.READY, 1)


@pytest.mark.parametrize("status", list(Status))
def test_buttons_are_shown_only_where_they_work(alice, status):
    job = create_import(status, alice)

    _, html = get_import_page(logged_in_client(alice), job)

    assert (reverse("import-start", args=[job.pk]) in html) == (status == Status.READY)
    may_cancel = Status.CANCELLED in ALLOWED_TRANSITIONS[status]
    assert (reverse("import-cancel", args=[job.pk]) in html) == may_cancel


# --- Refused rows ------------------------------------------------------------


def test_refused_rows_are_grouped_by_cause_and_listed_with_column_value_and_reason(alice):
    rows = [make_row(1), make_row(2, phone="12", last=""), make_row(1, phone="+233249999999")]
    job = run_import(make_csv([*rows, make_row(4, phone="13")]), owner=alice)
    client = logged_in_client(alice)

    causes = visible_text(get_import_page(client, job)[1])
    listed = visible_text(get_rows_page(client, job))

    assert "Phone This is not a phone number we can call." in causes
    assert "for example 12 2 refused" in causes
    assert "Shipping mark It repeats an earlier row of the same file." in causes
    must_be_filled = "Last name empty This must not be empty. Fill it in, or delete the row."
    assert f"3 {must_be_filled} Phone 12 This is not a phone number we can call." in listed
    assert "4 Shipping mark MARK 1 It repeats row 2 of the same file." in listed
    assert job.failed == 3


def test_each_cause_leads_to_its_own_rows(alice):
    rows = [make_row(1, phone="12"), make_row(2, email="no"), make_row(3, phone="13", email="no")]
    job = run_import(make_csv(rows), owner=alice)
    client = logged_in_client(alice)
    _, html = get_import_page(client, job)

    links = re.findall(r'data-rows href="([^"]+)"', html)
    listed = {link: row_numbers(client.get(unescape(link)).content.decode()) for link in links}

    assert sorted(listed.values()) == [[2, 4], [3, 4]]
    phone = next(link for link in links if "code=phone_too_short" in link)
    assert listed[phone] == [2, 4]


def test_rows_of_a_cause_come_page_by_page_and_stay_with_it(alice):
    job = create_import(Status.COMPLETE, alice)
    refuse(job, 120)
    ImportRow.objects.filter(job=job, number=3).update(
        errors=[{"column": "email", "code": "invalid_email", "params": {}, "value": "no"}]
    )
    client, link = logged_in_client(alice), reverse("import-rows", args=[job.pk])

    seen, query = [], "?outcome=failed&column=phone&code=invalid_phone"
    while query:
        html = get_rows_page(client, job, query)
        seen += row_numbers(html)
        following = re.search(rf'rel="next" href="{link}([^"]+)"', html)
        query = following and unescape(following[1])

    assert seen == [2, *range(4, 122)]


@committed
def test_skipped_rows_are_a_cause_of_their_own(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1), make_row(2, phone="12")]), owner=alice)
    client = logged_in_client(alice)

    _, causes = get_import_page(client, job)
    refused, skipped = get_rows_page(client, job), get_rows_page(client, job, "?outcome=skipped")

    assert "1 skipped" in visible_text(causes)
    assert "not a phone" in visible_text(refused)
    assert "exists already" not in visible_text(refused)
    assert "2 Shipping mark MARK 1 It exists already." in visible_text(skipped)


@committed
def test_what_was_updated_is_no_problem_to_list(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(
        make_csv([make_row(1, first="Efua"), make_row(2, phone="12")]),
        owner=alice,
        on_duplicate=OnDuplicate.UPDATE,
    )

    assert job.updated == 1
    assert row_numbers(get_rows_page(logged_in_client(alice), job)) == [3]


def refuse(job, count):
    error = {"column": "phone", "code": "invalid_phone", "params": {}, "value": HOSTILE}
    ImportRow.objects.bulk_create(
        ImportRow(job=job, number=n, outcome=Outcome.FAILED, errors=[error])
        for n in range(2, count + 2)
    )


@pytest.mark.parametrize(
    ("query", "first"), [("", 2), ("?after=51", 52), ("?after=x", 2), ("?after=" + "9" * 30, 2)]
)
def test_refused_rows_come_fifty_a_page(alice, query, first):
    job = create_import(Status.COMPLETE, alice)
    refuse(job, 60)

    numbers = row_numbers(get_rows_page(logged_in_client(alice), job, query))

    assert numbers == list(range(2, 62))[first - 2 : first + 48]


def test_causes_that_are_no_longer_kept_say_so(alice):
    client, job = logged_in_client(alice), create_import(Status.COMPLETE, alice)

    assert "no longer kept" in visible_text(get_import_page(client, job)[1])
    query = "?outcome=failed&column=&code=x"
    assert "no longer kept" in visible_text(get_rows_page(client, job, query))


def test_the_number_of_queries_does_not_grow(alice):
    small, large = create_import(Status.COMPLETE, alice), create_import(Status.COMPLETE, alice)
    refuse(small, 1)
    refuse(large, 120)
    client = logged_in_client(alice)

    assert queries(lambda: get_import_page(client, small)) == queries(
        lambda: get_import_page(client, large)
    )


def test_the_list_says_why_an_import_failed(alice):
    ImportJob.objects.filter(pk=create_import(Status.FAILED, alice).pk).update(error_code="no_rows")
    create_import(Status.COMPLETE, alice)
    create_import(Status.MAPPING, alice)

    html = logged_in_client(alice).get(reverse("imports")).content.decode()
    assert visible_text(html).count("No rows were found") == 1
    assert "not recognised" not in html  # Its status says what it waits for.


def test_the_list_asks_no_more_for_more_imports(alice, root):
    create_import(Status.QUEUED, alice)
    client = logged_in_client(root)
    few = queries(lambda: client.get(reverse("imports")))
    for _ in range(10):
        create_import(Status.QUEUED, alice)

    assert queries(lambda: client.get(reverse("imports"))) == few


def queries(ask):
    ask()  # What is cached is cached now.
    with CaptureQueriesContext(
        connection,
    ) as captured:
        ask()
    return len([q for q in captured if "imports_worker" not in q["sql"]])  # Counted now and then.


# --- Safe in a browser -------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
def test_what_people_typed_is_never_markup(alice, status):
    layout = {"header_row": 1, "headers": [HOSTILE], "positions": {}, "missing": []}
    job = create_import(status, alice, file_name=HOSTILE, detected_columns=layout)
    refuse(job, 1)
    client = logged_in_client(alice)

    pages = [get_import_page(client, job)[1], client.get(reverse("imports")).content.decode()]
    pages.append(get_rows_page(client, job))

    for html in pages:
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html


def all_pages(alice):
    client = logged_in_client(alice)
    yield Client().get(reverse("login"))
    yield send(client)
    yield client.get("/nowhere/")
    yield Client(enforce_csrf_checks=True).post(reverse("login"))
    for status in Status:
        job = create_import(status, alice)
        refuse(job, 60)
        yield get_import_page(client, job)[0]
    yield client.get(reverse("import-rows", args=[job.pk]))
    yield client.get(reverse("password"))
    yield client.get(reverse("imports"))


class Inline(HTMLParser):
    """What a strict Content-Security-Policy would not run or show."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "style" or (tag == "script" and not self.is_file_or_data(values)):
            self.found.append(tag)
        self.found += [name for name in values if name == "style" or name.startswith("on")]
        addresses = [values.get(name) or "" for name in ("src", "href", "action")]
        self.found += [a for a in addresses if re.match(r"\s*(\w+:|//)", a)]

    @staticmethod
    def is_file_or_data(values):
        return "src" in values or values.get("type") == "application/json"


def test_no_page_has_inline_script_or_style(alice):
    pages = [response.content.decode() for response in all_pages(alice)]
    pages += [render_to_string(f"{name}.html") for name in (400, 403, 500, 503)]

    assert [Inline(html).found for html in pages] == [[]] * len(pages)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("400", "This was not understood"),
        ("403", "You may not do this"),
        ("404", "There is nothing here"),
        ("500", "Something went wrong"),
        ("503", "The database does not answer"),
        ("403_csrf", "This page is out of date"),
    ],
)
def test_errors_have_pages_that_need_nothing(template, sentence):
    assert sentence in render_to_string(f"{template}.html")


@pytest.mark.parametrize(("error", "status"), [(OperationalError, 503), (ValueError, 500)])
def test_an_error_nobody_caught_has_a_page_and_quotes_nothing(error, status):
    try:
        raise error("ama@example.com")
    except error:
        response = views.server_error(RequestFactory().get("/"))

    assert response.status_code == status
    assert "ama@example.com" not in response.content.decode()


def test_script_and_style_stay_small_and_never_write_markup():
    script = "".join(path.read_text() for path in STATIC.glob("*.js"))

    # Whether an import has succeeded, and how its file was read, take some hundred bytes each.
    assert len(script.encode()) <= 15_500
    assert (STATIC / "imports.css").stat().st_size <= 15_600
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
