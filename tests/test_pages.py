"""The pages as the server renders them, without scripts."""

import re
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.errors import render_server_error_page
from imports import row_results, worker_status
from imports.job_commands import COMMAND_NAMES, list_actions
from imports.models import ImportJob, ImportRow, Worker
from imports.pages import views
from imports.statuses import FINAL_STATUSES, OnDuplicate, Outcome, Status
from tests.conftest import create_user, logged_in_client, make_username
from tests.database import connection
from tests.factories import check_job, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db

committed = pytest.mark.django_db(transaction=True)  # For tests that run two imports.

HOSTILE = '<img src=x onerror="alert(1)">'
STATIC = Path(__file__).resolve().parents[1] / "imports" / "static" / "imports"
STATUS_SENTENCES = {
    Status.QUEUED: "Position in the queue:",
    Status.CHECKING: "Rows checked",
    Status.MAPPING: "These columns were not recognised: Shipping mark.",
    Status.READY: "Nothing has been written yet",
    Status.RUNNING: "Rows processed",
    Status.PAUSED: "Paused",
    Status.COMPLETE: "rows were imported.",
    Status.CANCELLED: "The import was cancelled before it finished.",
    Status.FAILED: "The file is empty.",
    Status.UNDOING: "Undoing",
    Status.UNDONE: "Undone",
}
STATUS_ERRORS = {
    Status.MAPPING: ("missing_columns", {"columns": ["shipping_mark"]}),
    Status.FAILED: ("empty_file", None),
}


def create_import(status, owner, **fields):
    """Create an import in any status, without batches and rows."""
    code, params = STATUS_ERRORS.get(status, (None, None))
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
    response = client.get(reverse("imports:detail", args=[job.pk]) + query)
    return response, response.content.decode()


def get_rows_page(client, job, query=""):
    response = client.get(reverse("imports:rows", args=[job.pk]) + query)
    return response.content.decode()


def parse_row_numbers(html):
    return [int(n) for n in re.findall(r'scope="rowgroup"[^>]*>(\d+)<', html)]


def visible_text(html):
    """Return the visible text of a page, approximately."""
    html = re.sub(r"<script\b.*?</script>", "", html, flags=re.S)
    shown = re.sub(r"<(p|span|div|dl)\b[^>]* hidden[^>]*>.*?</\1>", "", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", "", shown).split())


def post_upload(client, **fields):
    sent = {"importer": "customers", "on_duplicate": "skip"} | fields
    return client.post(reverse("imports:list"), sent)


def make_file(name="customers.csv", content=None):
    return SimpleUploadedFile(name, make_csv([make_row(1)]) if content is None else content)


def post_action(client, job, what):
    return client.post(reverse(f"imports:{what}", args=[job.pk]), follow=True)


@pytest.mark.parametrize(
    ("status", "created", "is_shown"),
    [
        *((Status.RUNNING, 2, True), (Status.COMPLETE, 2, True), (Status.READY, 2, False)),
        *((Status.CANCELLED, 2, True), (Status.CANCELLED, 0, False)),
    ],
)
def test_counts_are_shown_if_rows_were_processed(alice, status, created, is_shown):
    job = create_import(status, alice, created=created, failed=3 - created)

    _, html = get_import_page(logged_in_client(alice), job)

    assert ("Unchanged0" in visible_text(html)) == is_shown


@pytest.mark.parametrize(("policy", "is_shown"), [("update", True), ("skip", False)])
def test_empty_cells_policy_is_shown_only_for_updates(alice, policy, is_shown):
    job = create_import(Status.READY, alice, on_duplicate=policy, empty_cells="clear")

    _, html = get_import_page(logged_in_client(alice), job)

    assert (
        "If a cell of the row is empty: Clear the existing value" in visible_text(html)
    ) == is_shown


@pytest.mark.parametrize(("most", "badge"), [(1, "1+ failed"), (2, "2 failed")])
def test_partial_problem_count_is_marked(alice, monkeypatch, most, badge):
    rows = [make_row(n, phone="no") for n in (1, 2)]
    job = run_import(make_csv(rows), owner=alice)
    monkeypatch.setattr(row_results, "MAX_GROUPED_ROWS", most)

    _, html = get_import_page(logged_in_client(alice), job)

    assert badge in visible_text(html)


def test_earlier_upload_of_same_file_is_shown_with_status(alice):
    create_import(Status.FAILED, alice, file_digest="x", file_name="first.csv")

    _, html = get_import_page(
        logged_in_client(alice), create_import(Status.READY, alice, file_digest="x")
    )

    pattern = r"This file was uploaded before: first.csv, .*? \(Failed\)"
    assert re.search(pattern, visible_text(html))


@pytest.mark.parametrize(("check_first", "then"), [(True, "checked."), (False, "imported.")])
def test_mapping_page_says_whether_rows_are_imported_next(alice, check_first, then):
    _, html = get_import_page(
        logged_in_client(alice), create_import(Status.MAPPING, alice, check_first=check_first)
    )

    match = re.search("The rows are then ([a-z ]+[.])", visible_text(html))
    assert match[1].split()[-1] == then


@pytest.mark.parametrize(("seconds", "sentence"), [(0.2, "took < 1 s"), (75, "took 1 min 15 s")])
def test_duration_is_shown(alice, seconds, sentence):
    job = create_import(Status.COMPLETE, alice)
    ImportJob.objects.update(started_at=job.finished_at - timedelta(seconds=seconds))

    _, html = get_import_page(logged_in_client(alice), job)

    assert sentence in unescape(visible_text(html))


# --- Permissions -----------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
def test_each_status_has_a_page(alice, status):
    response, html = get_import_page(logged_in_client(alice), create_import(status, alice))

    assert response.status_code == 200
    assert STATUS_SENTENCES[status] in visible_text(html)
    assert f'data-status="{status}"' in html


@pytest.mark.parametrize("status", list(Status))
def test_import_of_another_user_is_not_found(alice, bob, status):
    client, job = logged_in_client(bob), create_import(status, alice)

    links = [reverse(f"imports:{name}", args=[job.pk]) for name in ("rows", "chart")]
    responses = [
        get_import_page(client, job)[0],
        *map(client.get, links),
        post_action(client, job, "start"),
        post_action(client, job, "cancel"),
    ]

    assert {response.status_code for response in responses} == {404}
    assert "Page not found" in responses[0].content.decode()
    assert "customers.csv" not in client.get(reverse("imports:list")).content.decode()


@pytest.mark.parametrize("name", ["list", "detail", "start", "cancel"])
def test_anonymous_user_is_redirected_to_login(client, alice, name):
    job = create_import(Status.READY, alice)
    address = reverse(f"imports:{name}", args=[] if name == "list" else [job.pk])

    response = (client.get if name in {"imports", "import"} else client.post)(address)

    assert response.status_code == 302
    assert response["Location"] == f"{reverse('login')}?next={address}"


def test_user_with_view_permission_gets_no_buttons(alice, eve):
    client, job = logged_in_client(eve), create_import(Status.READY, alice)

    _, html = get_import_page(client, job)

    assert "Nothing has been written yet" in html
    assert reverse("imports:start", args=[job.pk]) not in html
    assert reverse("imports:cancel", args=[job.pk]) not in html
    assert post_action(client, job, "cancel").status_code == 404
    assert "alice" in html  # The owner.


def test_user_without_import_permission_gets_no_form(eve):
    client = logged_in_client(eve)

    assert 'type="file"' not in client.get(reverse("imports:list")).content.decode()
    assert post_upload(client, file=make_file()).status_code == 403
    assert not ImportJob.objects.exists()


def test_sign_in_and_out(client):
    person_ = create_user("clerk", "add_importjob")
    person_.set_password("sesame")
    person_.save()

    name = make_username("clerk")  # The form calls every name "username".
    wrong = client.post(reverse("login"), {"username": name, "password": "no"})
    right = client.post(reverse("login"), {"username": name, "password": "sesame"}, follow=True)
    out = client.post(reverse("logout"), follow=True)

    assert "Please enter a correct" in wrong.content.decode()
    assert "Import a spreadsheet" in right.content.decode()
    assert out.redirect_chain[-1][0] == reverse("login")


# --- Upload ------------------------------------------------------------------


def test_form_creates_import_without_script(alice):
    response = post_upload(
        logged_in_client(alice), file=make_file(), on_duplicate="update", check_first="on"
    )

    job = ImportJob.objects.get()
    assert (response.status_code, response["Location"]) == (
        302,
        reverse("imports:detail", args=[job.pk]),
    )
    assert (job.owner, job.on_duplicate, job.check_first) == (alice, OnDuplicate.UPDATE, True)
    assert job.file.open().read() == make_csv([make_row(1)])


def test_upload_of_corrected_file_is_preset_with_the_earlier_options(alice):
    options = {"on_duplicate": "update", "empty_cells": "clear", "check_first": True}
    job = create_import(Status.COMPLETE, alice, importer="parcels", **options)
    client = logged_in_client(alice)
    link = f"{reverse('imports:list')}?corrects={job.pk}"
    assert f'href="{link}"' in get_import_page(client, job)[1]

    html = client.get(link).content.decode()

    assert selected_options(html) == {"parcels", "update", "clear", "check_first"}
    assert f'Options copied from <a href="{reverse("imports:detail", args=[job.pk])}">' in html


@pytest.mark.parametrize("reference", ["other", "unknown", "nonsense", "\x00"])
def test_import_of_another_user_presets_nothing(alice, bob, reference):
    other = create_import(Status.COMPLETE, bob, on_duplicate="update", empty_cells="clear")
    keys = {"other": other.pk, "unknown": uuid4()}

    response = logged_in_client(alice).get(
        reverse("imports:list"), {"corrects": keys.get(reference, reference)}
    )

    assert response.status_code == 200
    assert selected_options(response.content.decode()) == {"skip"}


def test_import_with_missing_importer_presets_nothing(alice):
    job = create_import(Status.COMPLETE, alice, importer="gone", on_duplicate="update")

    html = (
        logged_in_client(alice).get(f"{reverse('imports:list')}?corrects={job.pk}").content.decode()
    )

    assert "update" not in selected_options(html)
    assert "Options copied from" not in html


def selected_options(html):
    """Return what is checked or selected in the upload form."""
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
def test_invalid_form_shows_error_and_stores_nothing(alice, settings, sent, sentence):
    settings.IMPORTS_MAX_UPLOAD_BYTES = 10
    if "file" in sent:
        sent = sent | {"file": make_file(content=sent["file"])}

    response = post_upload(logged_in_client(alice), **sent)

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not ImportJob.objects.exists()


def test_error_names_the_empty_one_of_several_files(alice):
    response = post_upload(
        logged_in_client(alice),
        file=[make_file("a.csv"), make_file("bad.csv", b""), make_file("b.csv")],
    )

    assert response.status_code == 422
    assert "bad.csv: The file is empty." in response.content.decode()
    assert not ImportJob.objects.exists()


def test_expected_columns_and_options_are_shown(alice):
    text = visible_text(logged_in_client(alice).get(reverse("imports:list")).content.decode())

    for words in ("Shipping mark", "E-mail optional", ".xlsx", "Check first", "Skip the row"):
        assert words in text


@pytest.mark.parametrize(
    "ending", [".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".csv", ".tsv", ".json", ".jsonl"]
)
def test_every_supported_file_type_is_accepted(alice, ending):
    html = logged_in_client(alice).get(reverse("imports:list")).content.decode()

    (accepted,) = re.findall(r'accept="([^"]+)"', html)
    assert ending in accepted.split(",")
    assert ending in visible_text(html) or ending in {".csv", ".tsv"}


def test_list_is_paginated_newest_first(alice):
    for number in range(views.IMPORTS_PER_PAGE + 1):
        create_import(Status.COMPLETE, alice, file_name=f"file-{number}.csv")
    client = logged_in_client(alice)

    first = client.get(reverse("imports:list")).content.decode()
    second = client.get(reverse("imports:list") + "?page=2").content.decode()

    newest_first = re.findall(r"file-(\d+)\.csv</bdi>", first)
    assert newest_first == [str(n) for n in range(views.IMPORTS_PER_PAGE, 0, -1)]
    assert re.findall(r"file-(\d+)\.csv</bdi>", second) == ["0"]


# --- Active imports ---------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.QUEUED, Status.CHECKING, Status.RUNNING])
@pytest.mark.parametrize("workers", [0, 1])
def test_missing_worker_is_shown(alice, status, workers):
    worker_status.forget_cached_status()
    for _ in range(workers):
        Worker.objects.create(name="somewhere")

    _, html = get_import_page(logged_in_client(alice), create_import(status, alice))

    assert ("No worker is running" in visible_text(html)) == (workers == 0)


@pytest.mark.parametrize("stalled", [True, False])
def test_stalled_import_is_shown(alice, stalled):
    worker_status.forget_cached_status()
    Worker.objects.create(name="somewhere")
    job = create_import(Status.RUNNING, alice)
    if stalled:
        ImportJob.objects.update(updated_at=timezone.now() - timedelta(minutes=1))

    _, html = get_import_page(logged_in_client(alice), job)

    assert ("The import has made no progress for a while" in visible_text(html)) == stalled


def test_numbers_times_and_durations_are_formatted(alice):
    job = create_import(
        Status.COMPLETE, alice, total=7000, checked=7000, processed=7000, created=6999, failed=1
    )

    _, html = get_import_page(logged_in_client(alice), job)

    assert "6,999 of 7,000 rows were imported. 1 failed." in visible_text(html)
    assert "took 1 min 15 s" in visible_text(html)
    assert f'<time datetime="{job.created_at:%Y-%m-%dT%H:%M}' in html


def test_only_active_import_reloads_without_script(alice):
    client = logged_in_client(alice)
    pages = {
        s: get_import_page(client, create_import(s, alice))[1]
        for s in (Status.RUNNING, Status.COMPLETE)
    }

    assert '<noscript><meta http-equiv="refresh"' in pages[Status.RUNNING]
    assert "refresh" not in pages[Status.COMPLETE]


def test_page_contains_urls_for_script(alice):
    job = create_import(Status.RUNNING, alice)

    _, html = get_import_page(logged_in_client(alice), job)

    assert f'data-status-url="/api/imports/{job.pk}/"' in html
    assert f'data-events-url="/api/imports/{job.pk}/events/"' in html


# --- Start and cancel --------------------------------------------------------


@committed
def test_preview_is_shown_and_import_is_started(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    rows = [make_row(1, first="Efua"), make_row(2), make_row(3, phone="12")]
    job = check_job(
        make_job(make_csv(rows), owner=alice, check_first=True, on_duplicate=OnDuplicate.UPDATE)
    )
    client = logged_in_client(alice)

    _, html = get_import_page(client, job)
    started = post_action(client, job, "start")

    for sentence in ("1 row will be created", "1 row will update an", "1 row will fail"):
        assert sentence in visible_text(html)
    assert started.redirect_chain == [(reverse("imports:detail", args=[job.pk]), 302)]
    job.refresh_from_db()
    assert job.status == Status.RUNNING


def test_import_is_cancelled(alice):
    job = create_import(Status.RUNNING, alice, processed=0, created=0, failed=0)

    response = post_action(logged_in_client(alice), job, "cancel")

    assert "Nothing was written." in visible_text(response.content.decode())
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


@pytest.mark.parametrize(
    ("what", "refused"),
    [
        ("start", "started"),
        ("pause", "paused"),
        ("resume", "resumed"),
        ("cancel", "cancelled"),
    ],
)
def test_action_that_is_no_longer_possible_changes_nothing(alice, what, refused):
    job = create_import(Status.COMPLETE, alice)

    response = post_action(logged_in_client(alice), job, what)

    assert response.status_code == 200
    text = visible_text(response.content.decode())
    assert f"The import was not {refused}. It is complete: every row has an outcome." in text
    job.refresh_from_db()
    assert job.status == Status.COMPLETE


@pytest.mark.parametrize("what", ["start", "cancel", "mapping", "options"])
def test_get_request_changes_nothing_and_redirects_to_import(alice, what):
    job = create_import(Status.READY, alice)

    response = logged_in_client(alice).get(reverse(f"imports:{what}", args=[job.pk]))

    assert response.status_code == 302
    assert response["Location"] == reverse("imports:detail", args=[job.pk])
    job.refresh_from_db()
    assert (job.status, job.version) == (Status.READY, 1)


@pytest.mark.parametrize("status", list(Status))
def test_buttons_are_shown_only_if_action_is_allowed(alice, status):
    job = create_import(status, alice)

    _, html = get_import_page(logged_in_client(alice), job)

    assert list_buttons(html, job) == [name.value for name in list_actions(job) if name != "change"]


def list_buttons(html, job, *, hidden=False):
    """Return the names of the buttons of an import that are shown, or of those that are hidden."""
    pattern = r'<(?:div|form)\b[^>]*data-if="[A-Z ]+">.*?</(?:div|form)>|<a class="button"[^>]*>'
    parts = re.findall(pattern, html, re.S)
    return [
        name
        for name in COMMAND_NAMES
        for part in parts
        if reverse(f"imports:{name}", args=[job.pk]) in part
        and (" hidden" in part[: part.index(">")]) == hidden
    ]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.CHECKING, Status.RUNNING])
def test_page_of_an_import_in_progress_has_the_buttons_that_scripts_show_later(alice, status):
    job = create_import(status, alice)

    _, html = get_import_page(logged_in_client(alice), job)

    hidden = [] if status == Status.RUNNING else ["pause"]
    assert list_buttons(html, job, hidden=True) == hidden


def test_user_with_view_all_sees_no_button(alice):
    job = create_import(Status.RUNNING, alice)
    client = logged_in_client(create_user("eve", "view_all"))

    _, page = get_import_page(client, job)
    listed = client.get(reverse("imports:list")).content.decode()

    for html in (page, listed):
        assert list_buttons(html, job) == list_buttons(html, job, hidden=True) == []
    assert post_action(client, job, "pause").status_code == 404


@pytest.mark.parametrize(
    ("status", "shown"),
    [(Status.RUNNING, ["pause"]), (Status.PAUSED, ["resume"]), (Status.COMPLETE, [])],
)
def test_list_offers_pause_and_resume(alice, status, shown):
    job = create_import(status, alice)

    html = logged_in_client(alice).get(reverse("imports:list")).content.decode()

    assert list_buttons(html, job) == shown


@pytest.mark.parametrize(
    ("next_url", "target"),
    [
        ("/imports/?page=2", "/imports/?page=2"),
        ("https://evil.example/", None),
        ("//evil.example/", None),
    ],
)
def test_a_command_from_the_list_returns_to_the_list_and_to_no_other_site(alice, next_url, target):
    job = create_import(Status.PAUSED, alice)
    url = reverse("imports:cancel", args=[job.pk])

    response = logged_in_client(alice).post(url, {"next": next_url})

    assert response["Location"] == (target or reverse("imports:detail", args=[job.pk]))


def test_paused_import_says_what_was_written_and_what_happens_next(alice):
    counts = {"total": 10, "checked": 10, "processed": 7, "created": 6, "failed": 1}
    job = create_import(Status.PAUSED, alice, **counts)

    _, html = get_import_page(logged_in_client(alice), job)

    text = visible_text(html)
    assert "The import is paused. 6 rows were written and are kept." in text
    assert "3 rows are waiting. Nothing happens until someone resumes the import" in text
    assert "Rows processed 7 of 10" in text
    assert "Cancel this import? Rows already written are kept." in text


# --- Failed rows ------------------------------------------------------------


def test_failed_rows_are_grouped_and_listed_with_column_value_and_reason(alice):
    rows = [make_row(1), make_row(2, phone="12", last=""), make_row(1, phone="+233249999999")]
    job = run_import(make_csv([*rows, make_row(4, phone="13")]), owner=alice)
    client = logged_in_client(alice)

    causes = visible_text(get_import_page(client, job)[1])
    listed = visible_text(get_rows_page(client, job))

    assert "Phone This is not a phone number we can call." in causes
    assert "for example 12 2 failed" in causes
    assert "Shipping mark This row is a duplicate of an earlier row of the same file." in causes
    must_be_filled = "Last name empty This value is required. Fill it in, or delete the row."
    assert f"3 {must_be_filled} Phone 12 This is not a phone number we can call." in listed
    assert "4 Shipping mark MARK 1 This row is a duplicate of row 2 of the same file." in listed
    assert job.failed == 3


def test_each_problem_links_to_its_rows(alice):
    rows = [make_row(1, phone="12"), make_row(2, email="no"), make_row(3, phone="13", email="no")]
    job = run_import(make_csv(rows), owner=alice)
    client = logged_in_client(alice)
    _, html = get_import_page(client, job)

    links = re.findall(r'data-rows href="([^"]+)"', html)
    listed = {
        link: parse_row_numbers(client.get(unescape(link)).content.decode()) for link in links
    }

    assert sorted(listed.values()) == [[2, 4], [3, 4]]
    phone = next(link for link in links if "code=phone_too_short" in link)
    assert listed[phone] == [2, 4]


def test_rows_of_a_problem_are_paginated(alice):
    job = create_import(Status.COMPLETE, alice)
    fail_rows(job, 120)
    ImportRow.objects.filter(job=job, number=3).update(
        errors=[{"field": "email", "code": "invalid_email", "params": {}, "value": "no"}]
    )
    client, link = logged_in_client(alice), reverse("imports:rows", args=[job.pk])

    seen, query = [], "?outcome=failed&column=phone&code=invalid_phone"
    while query:
        html = get_rows_page(client, job, query)
        seen += parse_row_numbers(html)
        following = re.search(rf'rel="next" href="{link}([^"]+)"', html)
        query = following and unescape(following[1])

    assert seen == [2, *range(4, 122)]


@committed
def test_skipped_rows_are_a_separate_problem(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1), make_row(2, phone="12")]), owner=alice)
    client = logged_in_client(alice)

    _, causes = get_import_page(client, job)
    failed, skipped = get_rows_page(client, job), get_rows_page(client, job, "?outcome=skipped")

    assert "1 skipped" in visible_text(causes)
    assert "not a phone" in visible_text(failed)
    assert "already exists" not in visible_text(failed)
    assert "2 Shipping mark MARK 1 A record with this value already exists." in visible_text(
        skipped
    )


@committed
def test_updated_rows_are_not_listed_as_failed(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(
        make_csv([make_row(1, first="Efua"), make_row(2, phone="12")]),
        owner=alice,
        on_duplicate=OnDuplicate.UPDATE,
    )

    assert job.updated == 1
    assert parse_row_numbers(get_rows_page(logged_in_client(alice), job)) == [3]


def fail_rows(job, count):
    error = {"field": "phone", "code": "invalid_phone", "params": {}, "value": HOSTILE}
    ImportRow.objects.bulk_create(
        ImportRow(job=job, number=n, outcome=Outcome.FAILED, errors=[error])
        for n in range(2, count + 2)
    )


@pytest.mark.parametrize(
    ("query", "first"), [("", 2), ("?after=51", 52), ("?after=x", 2), ("?after=" + "9" * 30, 2)]
)
def test_failed_rows_are_listed_fifty_per_page(alice, query, first):
    job = create_import(Status.COMPLETE, alice)
    fail_rows(job, 60)

    numbers = parse_row_numbers(get_rows_page(logged_in_client(alice), job, query))

    assert numbers == list(range(2, 62))[first - 2 : first + 48]


def test_deleted_rows_are_reported_as_unavailable(alice):
    client, job = logged_in_client(alice), create_import(Status.COMPLETE, alice)

    assert "no longer available" in visible_text(get_import_page(client, job)[1])
    query = "?outcome=failed&column=&code=x"
    assert "no longer available" in visible_text(get_rows_page(client, job, query))


def test_query_count_is_independent_of_failed_rows(alice):
    small, large = create_import(Status.COMPLETE, alice), create_import(Status.COMPLETE, alice)
    fail_rows(small, 1)
    fail_rows(large, 120)
    client = logged_in_client(alice)

    assert count_queries(lambda: get_import_page(client, small)) == count_queries(
        lambda: get_import_page(client, large)
    )


def test_list_shows_why_an_import_failed(alice):
    ImportJob.objects.filter(pk=create_import(Status.FAILED, alice).pk).update(error_code="no_rows")
    create_import(Status.COMPLETE, alice)
    create_import(Status.MAPPING, alice)

    html = logged_in_client(alice).get(reverse("imports:list")).content.decode()
    assert visible_text(html).count("No rows were found") == 1
    assert "not recognised" not in html  # Its status already says that it needs a column mapping.


def test_query_count_is_independent_of_imports(alice, root):
    create_import(Status.QUEUED, alice)
    client = logged_in_client(root)
    count = count_queries(lambda: client.get(reverse("imports:list")))
    for _ in range(10):
        create_import(Status.QUEUED, alice)

    assert count_queries(lambda: client.get(reverse("imports:list"))) == count


def count_queries(ask):
    ask()  # Fills the caches.
    with CaptureQueriesContext(
        connection,
    ) as captured:
        ask()
    return len(
        [q for q in captured if "imports_worker" not in q["sql"]]
    )  # The number of workers is cached.


# --- Security -------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
def test_user_input_is_escaped(alice, status):
    layout = {"header_row": 1, "headers": [HOSTILE], "positions": {}, "missing": []}
    job = create_import(status, alice, file_name=HOSTILE, detected_columns=layout)
    fail_rows(job, 1)
    client = logged_in_client(alice)

    pages = [get_import_page(client, job)[1], client.get(reverse("imports:list")).content.decode()]
    pages.append(get_rows_page(client, job))

    for html in pages:
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html


def fetch_all_pages(alice):
    client = logged_in_client(alice)
    yield Client().get(reverse("login"))
    yield post_upload(client)
    yield client.get("/nowhere/")
    yield Client(enforce_csrf_checks=True).post(reverse("login"))
    for status in Status:
        job = create_import(status, alice)
        fail_rows(job, 60)
        yield get_import_page(client, job)[0]
    yield client.get(reverse("imports:rows", args=[job.pk]))
    yield client.get(reverse("password"))
    yield client.get(reverse("imports:list"))


class InlineCodeFinder(HTMLParser):
    """Finds what a strict Content-Security-Policy would block."""

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
    pages = [response.content.decode() for response in fetch_all_pages(alice)]
    pages += [render_to_string(f"{name}.html") for name in (400, 403, 500, 503)]

    assert [InlineCodeFinder(html).found for html in pages] == [[]] * len(pages)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("400", "Bad request"),
        ("403", "Permission denied"),
        ("404", "Page not found"),
        ("500", "Something went wrong"),
        ("503", "The database is not available"),
        ("403_csrf", "This page is out of date"),
    ],
)
def test_error_pages_need_no_context(template, sentence):
    assert sentence in render_to_string(f"{template}.html")


@pytest.mark.parametrize(("error", "status"), [(OperationalError, 503), (ValueError, 500)])
def test_unhandled_exception_has_a_page_without_its_text(error, status):
    try:
        raise error("ama@example.com")
    except error:
        response = render_server_error_page(RequestFactory().get("/"))

    assert response.status_code == status
    assert "ama@example.com" not in response.content.decode()


def test_script_and_style_are_small_and_insert_no_markup():
    script = "".join(path.read_text() for path in STATIC.glob("*.js"))

    assert len(script.encode()) <= 20_000
    assert (STATIC / "imports.css").stat().st_size <= 17_000
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


@pytest.mark.parametrize("layout", ["site", "package"])
def test_a_message_is_on_the_page_once(layout, alice, settings):
    if layout == "package":  # Its own layout prints no messages.
        settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": []}]
    client = logged_in_client(alice)
    files = [SimpleUploadedFile(name, make_csv([make_row(1)])) for name in ("a.csv", "b.csv")]
    fields = {"importer": "customers", "on_duplicate": "skip", "file": files}

    page = client.post(reverse("imports:list"), fields, follow=True)

    (message,) = page.context["messages"]
    assert page.content.decode().count(str(message)) == 1
