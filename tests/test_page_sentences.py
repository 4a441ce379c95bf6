"""The sentences of the pages: results of an import, durations, and how the file was read."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from imports import lifecycle
from imports.models import ImportBatch
from imports.statuses import OnDuplicate, Status
from tests.conftest import logged_in_client
from tests.factories import (
    HEADERS,
    apply_all_batches,
    check_job,
    make_csv,
    make_job,
    make_row,
    run_import,
)
from tests.spreadsheets import make_workbook
from tests.test_failed_rows import get_skipped_rows
from tests.test_options_page import make_workbook_of_sheets
from tests.test_pages import create_import, get_import_page, get_rows_page, visible_text

pytestmark = pytest.mark.django_db(transaction=True)

CORPUS_FOLDER = Path(__file__).resolve().parent / "corpus"
ZERO_COUNTS = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed"), 0)


def get_page_text(owner, job, language="en"):
    client = logged_in_client(owner)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    return visible_text(get_import_page(client, job)[1])


def create_complete_import(owner, **counts):
    total = sum(counts.values())
    known = ZERO_COUNTS | counts | {"total": total, "checked": total, "processed": total}
    return create_import(Status.COMPLETE, owner, **known)


# --- Results -----------------------------------------------


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"created": 5}, "All 5 rows were imported."),
        ({"created": 1}, "The file's only row was imported."),
        (
            {"created": 2, "unchanged": 3},
            "All 5 rows were imported. 3 already had the same values.",
        ),
        ({"unchanged": 5}, "All 5 rows match existing records with the same values."),
        ({"skipped": 7000}, "All 7,000 rows match existing records and were skipped. Nothing was"),
        (
            {"skipped": 1},
            "The file's only row matches an existing record and was skipped. Nothing was",
        ),
        ({"failed": 3}, "Nothing was imported: every row failed. See the reasons below."),
        ({"failed": 1}, "Nothing was imported: every row failed. See the reasons below."),
        (
            {"skipped": 2, "failed": 1},
            "Of 3 rows: 2 match existing records and were skipped. 1 failed.",
        ),
        ({"created": 1, "failed": 3}, "1 of 4 rows was imported. 3 failed."),
        (
            {"updated": 2, "skipped": 1},
            "2 of 3 rows were imported. 1 matches an existing record and was skipped.",
        ),
    ],
)
def test_page_describes_the_result(alice, counts, sentence):
    text = get_page_text(alice, create_complete_import(alice, **counts))

    assert sentence in text
    assert not re.search(r"\b0 of |\b1 rows", text)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"created": 1, "failed": 1}, "1 ligne sur 2 a été importée. 1 a échoué."),
        ({"failed": 2}, "Rien n'a été importé : toutes les lignes ont échoué."),
        ({"created": 2, "failed": 2}, "2 lignes sur 4 ont été importées. 2 ont échoué."),
        ({"unchanged": 2}, "Les 2 lignes correspondent toutes à des fiches existantes avec"),
    ],
)
def test_page_describes_the_result_in_french(alice, counts, sentence):
    assert sentence in get_page_text(alice, create_complete_import(alice, **counts), "fr")


def test_list_shows_counts(alice):
    create_complete_import(alice, created=2, failed=1)
    client = logged_in_client(alice)

    shown = {
        language: visible_text(
            client.get(
                reverse("imports:list"), headers={"accept-language": language}
            ).content.decode()
        )
        for language in ("en", "fr")
    }

    assert "Rows 3 Created 2 Failed 1" in shown["en"]
    assert "Lignes 3 Créées 2 En échec 1" in shown["fr"]


def test_skipped_row_needs_no_correction(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1)]), owner=alice)

    text = get_page_text(alice, job)
    listed = visible_text(get_rows_page(logged_in_client(alice), job, "?outcome=skipped"))

    for shown in (text, listed):
        assert "A record with this value already exists. The record is kept unchanged." in shown
        assert "Delete the row" not in shown
    assert "to correct and upload them again" not in text


def test_csv_link_says_that_the_file_has_no_skipped_rows(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    failed = run_import(make_csv([make_row(2, phone="1")]), owner=alice)
    mixed = run_import(make_csv([make_row(1), make_row(3, phone="1")]), owner=alice)

    assert "Excel workbook, CSV, without skipped rows" in get_page_text(alice, mixed)
    assert "without skipped rows" not in get_page_text(alice, failed)


def test_api_report_and_admin_have_the_same_sentence_for_a_skipped_row(alice, root):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1)]), owner=alice)
    own, admins = f"/api/imports/{job.pk}/", reverse("admin:imports_importjob_rows", args=[job.pk])

    sentences = [
        logged_in_client(alice)
        .get(f"{own}rows/?outcome=skipped")
        .json()["results"][0]["errors"][0],
        logged_in_client(alice).get(f"{own}problems/").json()["results"][0]["example"],
    ]
    shown = [
        *(error["message"] for error in sentences),
        " ".join(cell for cell in get_skipped_rows(job)[1] if isinstance(cell, str)),
        visible_text(logged_in_client(root).get(admins).content.decode()),
        visible_text(
            logged_in_client(root)
            .get(f"{admins}?code=exists&column={sentences[0]['field']}")
            .content.decode()
        ),
    ]

    for text in shown:
        assert "A record with this value already exists. The record is kept unchanged." in text
        assert "Delete the row" not in text


def test_duplicate_that_failed_needs_correction(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1)]), owner=alice, on_duplicate=OnDuplicate.FAIL)

    text = get_page_text(alice, job)

    assert "A record with this value already exists. Delete the row, or correct the" in text
    assert "to correct and upload them again" in text


@pytest.mark.parametrize("content", [make_csv([]), CORPUS_FOLDER / "blank.xlsx"])
def test_file_without_rows_fails_with_a_sentence(alice, content):
    content = content if isinstance(content, bytes) else content.read_bytes()
    job = check_job(make_job(content, owner=alice))

    assert job.error_code == "no_rows"
    text = get_page_text(alice, job)
    assert "No rows were found. The file is empty or contains only headers." in text


@pytest.mark.parametrize("status", [Status.QUEUED, Status.MAPPING, Status.READY])
def test_cancel_dialog_says_that_nothing_is_written_yet(alice, status):
    assert "Nothing has been written yet, and nothing will be imported." in get_page_text(
        alice, create_import(status, alice)
    )


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED])
def test_cancel_keeps_written_rows(alice, status):
    text = get_page_text(alice, create_import(status, alice))

    assert "Rows already written are kept." in text
    assert "Nothing has been written yet" not in text


# --- Durations --------------------------------------------------------


def test_duration_excludes_waiting_for_the_user(alice):
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice, check_first=True))
    lifecycle.start(job.pk)
    running = get_page_text(alice, job)
    job = apply_all_batches(job.pk)
    type(job).objects.update(started_at=timezone.now() - timedelta(days=2))
    ImportBatch.objects.update(started_at=job.finished_at - timedelta(seconds=65))

    assert " s elapsed" not in running
    assert "written in 1 min 5 s" in get_page_text(alice, job)


def test_duration_is_shown_only_if_the_import_did_not_wait(alice):
    assert "took 1 min 15 s" in get_page_text(alice, create_complete_import(alice, created=1))
    assert "took" not in get_page_text(alice, create_import(Status.CANCELLED, alice, run=2))
    assert " s elapsed" in get_page_text(
        alice, create_import(Status.CHECKING, alice, check_first=True)
    )
    assert " s elapsed" not in get_page_text(alice, create_import(Status.CHECKING, alice, run=2))


# --- Columns and encoding ---------------------------------------------------


def make_csv_with_more_columns(n=2):
    more = ["E mail adrres", "", *(f"Note {i}" for i in range(n))]
    headers = [*HEADERS[:3], HEADERS[4], *more]
    rows = [[*make_row(i)[:3], make_row(i)[4], make_row(i)[3], "", *["x"] * n] for i in range(1, 4)]
    return make_csv(rows, headers)


@pytest.mark.parametrize("check_first", [True, False])
def test_ignored_columns_are_listed(alice, check_first):
    job = run_import(make_csv_with_more_columns(), owner=alice, check_first=check_first)
    assert job.status == (Status.READY if check_first else Status.COMPLETE)

    text = get_page_text(alice, job)

    named = "“E mail adrres” (looks like E-mail), “Note 0”, “Note 1”"
    assert f"Columns not imported: {named} " in text


def test_first_of_many_ignored_columns_are_listed(alice):
    job = run_import(make_csv_with_more_columns(11), owner=alice)

    assert "“Note 8” and 2 more" in get_page_text(alice, job)


@pytest.mark.parametrize("reason", [[], ["\u26a0 Reason"]])
def test_nothing_is_shown_if_no_column_is_ignored(alice, reason):
    rows = [[*make_row(1), *reason]]
    job = run_import(make_csv(rows, [*HEADERS, *reason]), owner=alice)

    assert job.created == 1
    assert "Columns not imported" not in get_page_text(alice, job)


@pytest.mark.parametrize(
    ("encoding", "read_options", "sentence"),
    [
        ("windows-1252", {}, "Read as Western European (Windows). Do accents look wrong?"),
        ("cp850", {"encoding": "cp850"}, "Read as Western European (DOS). Do accents look wrong?"),
        ("utf-8", {}, None),
        ("utf-16", {}, None),
    ],
)
def test_guessed_encoding_is_shown(alice, encoding, read_options, sentence):
    rows = [make_row(n, first="Zoé", last="Müller") for n in range(1, 9)]
    content = make_csv(rows).decode().encode(encoding)
    job = check_job(make_job(content, owner=alice, check_first=True, read_options=read_options))
    html = get_import_page(logged_in_client(alice), job)[1]

    assert job.status == Status.READY
    assert ('href="#option-encoding"' in html) == bool(sentence)
    assert sentence is None or sentence in visible_text(html)
    lifecycle.start(job.pk)
    done = get_page_text(alice, apply_all_batches(job.pk))
    assert sentence is None or sentence.partition(" Do accents")[0] in done
    assert "Do accents look wrong?" not in done


# --- Sheet and header row ------------------------------------------------


def test_sheet_of_workbook_with_several_sheets_is_shown(alice):
    sheets = make_workbook_of_sheets(Oct=[HEADERS, make_row(1)], Nov=[HEADERS, make_row(2)])
    job = run_import(sheets, owner=alice)

    assert "Read from the sheet “Oct”. Not read: “Nov”" in get_page_text(alice, job)
    assert "Read from the sheet" not in get_page_text(
        alice, run_import(make_workbook(HEADERS), owner=alice)
    )


def test_columns_without_headers_are_shown_in_standard_order(alice):
    rows = make_csv([make_row(1), make_row(2)]).partition(b"\n")[2]
    sentence = (
        "Its columns were read in our standard order: Shipping mark, First name, Last name, E-mail"
    )

    assert sentence in get_page_text(alice, run_import(rows, owner=alice))
    without_header = run_import(rows, owner=alice, has_header_row=False)
    assert "in our standard order:" not in get_page_text(alice, without_header)
    assert "in our standard order:" not in get_page_text(
        alice, run_import(make_csv([make_row(3)]), owner=alice)
    )


@pytest.mark.parametrize("check_first", [True, False])
def test_mapping_page_shows_the_header_row(alice, check_first):
    odd = make_csv([make_row(1)], ["Odd", *HEADERS[1:]])
    job = check_job(make_job(odd, owner=alice, check_first=check_first))

    assert job.status == Status.MAPPING
    shown = get_page_text(alice, job)
    assert "Row 1 of the file is read as its header row and is not imported." in shown
    assert ("Check" if check_first else "Import") + " with these columns" in shown
