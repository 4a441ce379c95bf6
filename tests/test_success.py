"""Whether an import has succeeded: in snapshots, on pages, in the admin and in the API."""

import json
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.urls import reverse

from imports import lifecycle, snapshots
from imports.management.commands import imports_status
from imports.management.waiting import wait_for_import
from imports.models import ImportJob
from imports.pages.presenters import get_status_labels
from imports.statuses import FINAL_STATUSES, Status, Success
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
from tests.test_pages import visible_text

pytestmark = pytest.mark.django_db(transaction=True)

ALL, SOME, NONE = Success.ALL, Success.SOME, Success.NONE
CONTENT = make_csv([make_row(1)])
NOTHING_IMPORTED = "Nothing was imported: every row failed."
EVERY_ROW_FAILS = (Path(__file__).resolve().parent / "corpus" / "every-row-fails.csv").read_bytes()


@pytest.mark.parametrize(
    ("status", "total", "counts", "success"),
    [
        (Status.COMPLETE, 5, {"created": 5}, ALL),
        (Status.COMPLETE, 5, {"updated": 2, "unchanged": 3}, ALL),
        (Status.COMPLETE, 5, {"skipped": 5}, ALL),
        (Status.COMPLETE, 5, {"created": 4, "skipped": 1}, ALL),
        (Status.COMPLETE, 5, {"created": 4, "failed": 1}, SOME),
        (Status.COMPLETE, 5, {"unchanged": 1, "failed": 4}, SOME),
        (Status.COMPLETE, 5, {"skipped": 1, "failed": 4}, SOME),
        (Status.COMPLETE, 5, {"failed": 5}, NONE),
        (Status.COMPLETE, 1, {"failed": 1}, NONE),
        (Status.CANCELLED, 5, {"created": 3}, SOME),
        (Status.CANCELLED, 5, {"unchanged": 1, "failed": 1}, SOME),
        (Status.CANCELLED, 5, {}, NONE),
        (Status.CANCELLED, None, {}, NONE),
        (Status.CANCELLED, 5, {"failed": 2}, NONE),
        (Status.CANCELLED, 5, {"skipped": 5}, NONE),  # The import was never started.
        (Status.FAILED, None, {}, NONE),
        (Status.FAILED, 5, {"skipped": 2}, NONE),
        (Status.FAILED, 5, {"created": 2}, SOME),
        (Status.UNDONE, 5, {"created": 5}, NONE),
        *((status, 5, {"created": 5}, None) for status in Status if status not in FINAL_STATUSES),
    ],
)
def test_success_depends_on_status_and_counts(status, total, counts, success):
    processed = sum(counts.values())
    job = ImportJob(status=status, total=total, processed=processed, **counts)

    assert job.success == success


@pytest.mark.parametrize(
    ("rows", "success"),
    [
        ([make_row(1), make_row(2)], "all"),
        ([make_row(1), make_row(2, phone="12")], "some"),
        ([make_row(1, phone="12"), make_row(2, phone="13")], "none"),
    ],
)
def test_the_api_and_snapshots_hold_success(alice, rows, success):
    client, waiting = logged_in_client(alice), make_job(make_csv(rows), owner=alice)
    before = client.get(f"/api/imports/{waiting.pk}/").json()

    job = apply_all_batches(check_job(waiting).pk)

    bodies = [
        client.get(f"/api/imports/{job.pk}/").json(),
        client.get("/api/imports/").json()["results"][0],
        json.loads(json.dumps(snapshots.build_snapshot(job))),
    ]
    assert before["success"] is None
    assert [body["success"] for body in bodies] == [success] * 3
    assert {body["message"] for body in bodies} == {
        NOTHING_IMPORTED if success == "none" else "Complete"
    }


def test_an_unreadable_or_cancelled_file_has_imported_nothing(alice):
    unreadable = check_job(make_job(b"%PDF-1.7", owner=alice))
    cancelled = lifecycle.cancel(make_job(make_csv([make_row(1)]), owner=alice).pk)

    for job in (unreadable, cancelled):
        assert snapshots.build_snapshot(job)["success"] == "none"
    assert snapshots.build_snapshot(cancelled)["message"] == "Cancelled"


def test_commands_say_that_every_row_has_failed(alice, capsys):
    job = run_import(EVERY_ROW_FAILS, owner=alice)

    with pytest.raises(CommandError) as raised:
        call_command("imports_status", str(job.pk))
    with pytest.raises(CommandError, match="2 of 2 rows failed"):
        wait_for_import(job.pk, OutputWrapper(sys.stdout))

    assert raised.value.returncode == 1
    shown = capsys.readouterr().out
    assert "(customers.csv): Nothing imported, 100 %" in shown
    assert "Complete" not in shown


@pytest.mark.parametrize(("content", "is_needed"), [(EVERY_ROW_FAILS, True), (CONTENT, False)])
def test_an_import_of_which_every_row_failed_needs_attention(alice, content, is_needed):
    job = run_import(content, owner=alice)
    report = imports_status.build_report(job.pk)
    # A worker runs and Redis works.
    report = report | {"redis": True, "workers": [{}]}

    assert imports_status.needs_attention(report) == is_needed


def test_every_page_says_that_every_row_has_failed(alice, root):
    job = run_import(EVERY_ROW_FAILS, owner=alice)
    assert (job.status, job.failed, job.total) == (Status.COMPLETE, 2, 2)
    client, admin = logged_in_client(alice), logged_in_client(root)

    pages = {
        name: user.get(path).content.decode()
        for name, user, path in (
            ("page", client, reverse("imports:detail", args=[job.pk])),
            ("list", client, reverse("imports:list")),
            ("admin list", admin, reverse("admin:imports_importjob_changelist")),
            ("admin", admin, reverse("admin:imports_importjob_change", args=[job.pk])),
        )
    }

    assert "Complete" not in visible_text(pages["admin"])
    for name, html in pages.items():
        assert NOTHING_IMPORTED in visible_text(html), name
        assert "Nothing imported" in visible_text(html), name
    for name in ("page", "list"):
        assert 'data-status="COMPLETE" data-success="none"' in pages[name]
    assert "download the failed rows, correct them and upload that file" in visible_text(
        pages["page"]
    )
    assert "Nothing imported</title>" in pages["page"]
    legacy = client.get(f"/api/auth/customers/excel/bulk-create/status/{job.pk}/").json()
    assert (legacy["status"], legacy["message"]) == ("COMPLETE", NOTHING_IMPORTED)


def test_pages_say_in_french_that_every_row_failed(alice):
    job, client = run_import(EVERY_ROW_FAILS, owner=alice), logged_in_client(alice)

    for path in (reverse("imports:detail", args=[job.pk]), reverse("imports:list")):
        text = visible_text(client.get(path, headers={"accept-language": "fr"}).content.decode())
        assert "a été importé : toutes les lignes ont échoué." in text


@pytest.mark.parametrize("rows", [[make_row(1)], [make_row(1), make_row(2, phone="12")]])
def test_no_page_says_that_every_row_failed_if_a_row_was_imported(alice, root, rows):
    job = run_import(make_csv(rows), owner=alice)

    for user, path in (
        (alice, reverse("imports:detail", args=[job.pk])),
        (alice, reverse("imports:list")),
        (root, reverse("admin:imports_importjob_changelist")),
    ):
        text = visible_text(logged_in_client(user).get(path).content.decode())
        assert NOTHING_IMPORTED not in text
        assert "Complete" in text


def test_the_page_of_a_ready_import_says_that_every_row_would_fail(alice):
    sentence = "Nothing would be imported: every row fails."
    pages = [
        logged_in_client(alice)
        .get(reverse("imports:detail", args=[check_job(job).pk]))
        .content.decode()
        for job in (
            make_job(EVERY_ROW_FAILS, owner=alice, check_first=True),
            make_job(make_csv([make_row(1)]), owner=alice, check_first=True),
        )
    ]

    assert [sentence in visible_text(html) for html in pages] == [True, False]


def test_scripts_have_the_label_of_the_server(alice):
    job = run_import(EVERY_ROW_FAILS, owner=alice)

    assert str(get_status_labels()["nothingImported"]) == job.status_label


def test_success_has_a_sign_besides_its_colour():
    """A user who cannot tell the colours apart sees the signs."""
    style = (Path(__file__).resolve().parents[1] / "imports/static/imports/imports.css").read_text()
    rules = [
        line for line in style.splitlines() if line.strip().startswith('[data-status="COMPLETE"]')
    ]

    signs = {line.partition("--sign: ")[2].partition(";")[0] for line in rules}
    assert len(rules) == 3
    assert len(signs) == 3
    assert "" not in signs


def test_every_row_fails_for_different_reasons(alice):
    """Every row fails: a single row, an existing record, swapped columns, words for numbers."""
    run_import(make_csv([make_row(1)]), owner=alice)
    kinds = {
        "one row": make_csv([make_row(2, phone="")]),
        "exists": make_csv([make_row(1)]),
        "swapped columns": make_csv([make_row(3)], [*HEADERS[:3], HEADERS[4], HEADERS[3]]),
        "words for numbers": make_csv([make_row(4, phone="none"), make_row(5, phone="later")]),
    }
    jobs = {
        name: run_import(content, owner=alice, on_duplicate="fail")
        for name, content in kinds.items()
    }

    assert {name: (job.status, job.success) for name, job in jobs.items()} == dict.fromkeys(
        kinds, (Status.COMPLETE, NONE)
    )
