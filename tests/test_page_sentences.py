"""What pages say fits what happened: to the rows, in the time, with the columns and letters."""

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

CORPUS = Path(__file__).resolve().parent / "corpus"
NONE = dict.fromkeys(("created", "updated", "unchanged", "skipped", "failed"), 0)


def said(owner, job, language="en"):
    client = logged_in_client(owner)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    return visible_text(get_import_page(client, job)[1])


def complete(owner, **counts):
    total = sum(counts.values())
    known = NONE | counts | {"total": total, "checked": total, "processed": total}
    return create_import(Status.COMPLETE, owner, **known)


# --- What happened to the rows -----------------------------------------------


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"created": 5}, "All 5 rows are in."),
        ({"created": 1}, "The file's only row is in."),
        ({"created": 2, "unchanged": 3}, "All 5 rows are in. 3 had the same values already."),
        ({"unchanged": 5}, "All 5 rows were in the system already, with the same values."),
        ({"skipped": 7000}, "All 7,000 rows existed already and were skipped. Nothing was"),
        ({"skipped": 1}, "The file's only row existed already and was skipped. Nothing was"),
        ({"failed": 3}, "Nothing was imported: every row failed. Look below at the reasons."),
        ({"failed": 1}, "Nothing was imported: every row failed. Look below at the reasons."),
        (
            {"skipped": 2, "failed": 1},
            "Of 3 rows: 2 existed already and were skipped. 1 was refused.",
        ),
        ({"created": 1, "failed": 3}, "1 of 4 rows is in. 3 were refused."),
        ({"updated": 2, "skipped": 1}, "2 of 3 rows are in. 1 existed already and was skipped."),
    ],
)
def test_the_end_is_told_as_it_is(alice, counts, sentence):
    text = said(alice, complete(alice, **counts))

    assert sentence in text
    assert not re.search(r"\b0 of |\b1 rows", text)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"created": 1, "failed": 1}, "1 ligne sur 2 est importée. 1 a été refusée."),
        ({"failed": 2}, "Rien n'a été importé : toutes les lignes ont échoué."),
        ({"created": 2, "failed": 2}, "2 lignes sur 4 sont importées. 2 ont été refusées."),
        ({"unchanged": 2}, "Les 2 lignes étaient toutes déjà dans le système"),
    ],
)
def test_the_end_is_told_in_french(alice, counts, sentence):
    assert sentence in said(alice, complete(alice, **counts), "fr")


def test_the_list_counts_in_words_that_agree(alice):
    complete(alice, created=2, failed=1)
    client = logged_in_client(alice)

    shown = {
        language: visible_text(
            client.get(reverse("imports"), headers={"accept-language": language}).content.decode()
        )
        for language in ("en", "fr")
    }

    assert "Rows 3 Created 2 Refused 1" in shown["en"]
    assert "Lignes 3 Créées 2 Refusées 1" in shown["fr"]


def test_a_skipped_row_is_no_row_to_correct(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1)]), owner=alice)

    text = said(alice, job)
    listed = visible_text(get_rows_page(logged_in_client(alice), job, "?outcome=skipped"))

    for shown in (text, listed):
        assert "It exists already. What exists stays as it is" in shown
        assert "Delete the row" not in shown
    assert "to be corrected and uploaded again" not in text


def test_a_list_without_the_skipped_rows_says_so(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    refused = run_import(make_csv([make_row(2, phone="1")]), owner=alice)
    mixed = run_import(make_csv([make_row(1), make_row(3, phone="1")]), owner=alice)

    assert "Excel workbook, CSV, without the skipped ones" in said(alice, mixed)
    assert "without the skipped ones" not in said(alice, refused)


def test_programs_reports_and_admins_are_told_the_same_of_a_skipped_row(alice, root):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1)]), owner=alice)
    own, admins = f"/api/imports/{job.pk}/", reverse("admin:imports_importjob_rows", args=[job.pk])

    told = [
        logged_in_client(alice)
        .get(f"{own}rows/?outcome=skipped")
        .json()["results"][0]["errors"][0],
        logged_in_client(alice).get(f"{own}problems/").json()["results"][0]["example"],
    ]
    shown = [
        *(error["message"] for error in told),
        " ".join(cell for cell in get_skipped_rows(job)[1] if isinstance(cell, str)),
        visible_text(logged_in_client(root).get(admins).content.decode()),
        visible_text(
            logged_in_client(root)
            .get(f"{admins}?code=exists&column={told[0]['column']}")
            .content.decode()
        ),
    ]

    for text in shown:
        assert "It exists already. What exists stays as it is" in text
        assert "Delete the row" not in text


def test_a_refused_row_that_exists_is_one_to_correct(alice):
    run_import(make_csv([make_row(1)]), owner=alice)
    job = run_import(make_csv([make_row(1)]), owner=alice, on_duplicate=OnDuplicate.FAIL)

    assert "It exists already. Delete the row, or correct this value" in said(alice, job)
    assert "to be corrected and uploaded again" in said(alice, job)


@pytest.mark.parametrize("content", [make_csv([]), CORPUS / "blank.xlsx"])
def test_a_file_without_rows_is_not_said_to_have_headers(alice, content):
    content = content if isinstance(content, bytes) else content.read_bytes()
    job = check_job(make_job(content, owner=alice))

    assert job.error_code == "no_rows"
    assert "No rows were found: the file is blank, or nothing stands below" in said(alice, job)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.MAPPING, Status.READY])
def test_to_cancel_before_anything_is_written_is_told_so(alice, status):
    assert "Nothing is written yet, and once it is cancelled nothing will be." in said(
        alice, create_import(status, alice)
    )


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED])
def test_to_cancel_later_keeps_what_is_written(alice, status):
    text = said(alice, create_import(status, alice))

    assert "Rows already written stay written" in text
    assert "Nothing is written yet" not in text


# --- How long it took --------------------------------------------------------


def test_the_time_that_a_person_took_is_not_the_imports(alice):
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice, check_first=True))
    lifecycle.start(job.pk)
    running = said(alice, job)
    job = apply_all_batches(job.pk)
    type(job).objects.update(started_at=timezone.now() - timedelta(days=2))
    ImportBatch.objects.update(started_at=job.finished_at - timedelta(seconds=65))

    assert " s so far" not in running
    assert "written in 1 min 5 s" in said(alice, job)


def test_where_nobody_waited_it_is_from_the_first_look_to_the_end(alice):
    assert "took 1 min 15 s" in said(alice, complete(alice, created=1))
    assert "took" not in said(alice, create_import(Status.CANCELLED, alice, run=2))
    assert " s so far" in said(alice, create_import(Status.CHECKING, alice, check_first=True))
    assert " s so far" not in said(alice, create_import(Status.CHECKING, alice, run=2))


# --- How it was understood ---------------------------------------------------


def with_more_columns(n=2):
    more = ["E mail adrres", "", *(f"Note {i}" for i in range(n))]
    headers = [*HEADERS[:3], HEADERS[4], *more]
    rows = [[*make_row(i)[:3], make_row(i)[4], make_row(i)[3], "", *["x"] * n] for i in range(1, 4)]
    return make_csv(rows, headers)


@pytest.mark.parametrize("check_first", [True, False])
def test_columns_that_are_left_alone_are_named(alice, check_first):
    job = run_import(with_more_columns(), owner=alice, check_first=check_first)
    assert job.status == (Status.READY if check_first else Status.COMPLETE)

    text = said(alice, job)

    named = "“E mail adrres” (looks like E-mail), “Note 0”, “Note 1”"
    assert f"Columns not imported: {named} " in text


def test_of_many_columns_left_alone_the_first_are_named(alice):
    job = run_import(with_more_columns(11), owner=alice)

    assert "“Note 8” and 2 more" in said(alice, job)


@pytest.mark.parametrize("reason", [[], ["\u26a0 Reason"]])
def test_nothing_is_said_of_columns_where_all_are_imported_or_our_own(alice, reason):
    rows = [[*make_row(1), *reason]]
    job = run_import(make_csv(rows, [*HEADERS, *reason]), owner=alice)

    assert job.created == 1
    assert "Columns not imported" not in said(alice, job)


@pytest.mark.parametrize(
    ("encoding", "told", "sentence"),
    [
        ("windows-1252", {}, "Read as Western European (Windows). Accents look wrong?"),
        ("cp850", {"encoding": "cp850"}, "Read as Western European (DOS). Accents look wrong?"),
        ("utf-8", {}, None),
        ("utf-16", {}, None),
    ],
)
def test_letters_that_could_be_others_are_said_to_be(alice, encoding, told, sentence):
    rows = [make_row(n, first="Zoé", last="Müller") for n in range(1, 9)]
    content = make_csv(rows).decode().encode(encoding)
    job = check_job(make_job(content, owner=alice, check_first=True, read_options=told))
    html = get_import_page(logged_in_client(alice), job)[1]

    assert job.status == Status.READY
    assert ('href="#option-encoding"' in html) == bool(sentence)
    assert sentence is None or sentence in visible_text(html)
    lifecycle.start(job.pk)
    done = said(alice, apply_all_batches(job.pk))
    assert sentence is None or sentence.partition(" Accents")[0] in done
    assert "Accents look wrong?" not in done


# --- Its sheet and its header ------------------------------------------------


def test_a_workbook_of_several_sheets_says_which_was_read(alice):
    sheets = make_workbook_of_sheets(Oct=[HEADERS, make_row(1)], Nov=[HEADERS, make_row(2)])
    job = run_import(sheets, owner=alice)

    assert "Read from the sheet “Oct”. Not read: “Nov”" in said(alice, job)
    assert "Read from the sheet" not in said(alice, run_import(make_workbook(HEADERS), owner=alice))


def test_columns_that_no_header_names_are_said_to_be_in_our_order(alice):
    rows = make_csv([make_row(1), make_row(2)]).partition(b"\n")[2]
    sentence = "They were taken in our own order: Shipping mark, First name, Last name, E-mail"

    assert sentence in said(alice, run_import(rows, owner=alice))
    told = run_import(rows, owner=alice, has_header_row=False)
    assert "in our own order:" not in said(alice, told)
    assert "in our own order:" not in said(alice, run_import(make_csv([make_row(3)]), owner=alice))


@pytest.mark.parametrize("check_first", [True, False])
def test_where_columns_are_asked_for_it_is_said_what_is_taken_for_their_names(alice, check_first):
    odd = make_csv([make_row(1)], ["Odd", *HEADERS[1:]])
    job = check_job(make_job(odd, owner=alice, check_first=check_first))

    assert job.status == Status.MAPPING
    shown = said(alice, job)
    assert "Row 1 of the file is taken for the names of its columns, and not imported." in shown
    assert ("Check" if check_first else "Import") + " with these columns" in shown
