"""Demo imports of every kind that the pages show, and the URLs of their pages."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from customers.models import Customer
from imports.history import ORIGINAL_FILE, Command, Via
from imports.models import (
    ImportAttempt,
    ImportBatch,
    ImportEvent,
    ImportJob,
    ImportRow,
    Worker,
)
from imports.statuses import FINAL_STATUSES, Outcome, Status
from tests.factories import check_job, make_csv, make_job, make_row, run_import

LONG_NAME = "customers_of_all_offices_north_and_south_" * 5 + "final_v2.xlsx"
STATUS_ERRORS = {
    Status.MAPPING: ("missing_columns", {"columns": ["shipping_mark", "phone"]}),
    Status.FAILED: ("too_much_memory", None),
}
COUNTS = {"total": 7000, "checked": 7000, "processed": 7000, "created": 6970, "failed": 30}
NO_COUNTS = {"total": None, "checked": 0, "processed": 0, "created": 0, "failed": 0}
HALF_COUNTS = COUNTS | {"processed": 3530, "created": 3500}
STATUS_FIELDS = {
    Status.QUEUED: NO_COUNTS,
    Status.CHECKING: NO_COUNTS | {"checked": 2500, "processed": 20, "failed": 20},
    Status.MAPPING: NO_COUNTS,
    Status.READY: COUNTS | {"processed": 30, "created": 0, "to_update": 1200, "check_first": True},
    Status.RUNNING: HALF_COUNTS,
    Status.PAUSED: HALF_COUNTS,
    Status.CANCELLED: HALF_COUNTS,
    Status.FAILED: NO_COUNTS,
    Status.UNDOING: COUNTS | {"removed": 3010, "kept": 2},
    Status.UNDONE: COUNTS | {"removed": 6963, "kept": 7},
}
STATUS_PERCENTS = {
    Status.CHECKING: 12,
    Status.READY: 33,
    **dict.fromkeys((Status.RUNNING, Status.PAUSED, Status.CANCELLED), 66),
    **dict.fromkeys((Status.COMPLETE, Status.UNDOING, Status.UNDONE), 100),
}
PROBLEMS = {
    "phone": ("invalid_phone", "call me after six"),
    "email": ("invalid_email", "ama at example dot com, or else her sister's address " * 6),
    "shipping_mark": ("repeats_row", "ACC-AM 0412"),
    "last_name": ("required", None),
}
ERROR_PARAMS = {"row": 17, "national": "023 123 4567", "international": "+233 23 123 4567"}
READ_SUMMARY = [
    {"code": "columns_ignored", "params": {"count": 2, "columns": ["Remarks", "Balance"]}},
    {
        "code": "columns_joined",
        "params": {"column": "phone", "columns": ["Phone", "Mobile", "Phone at home"]},
    },
    {"code": "header_in_two_rows", "params": {"first": 3, "last": 4}},
    {"code": "second_reader", "params": {}},
    *(
        {"code": code, "params": {**params, "count": count, "rows": rows}}
        for code, params, count, rows in (
            ("placeholder_as_empty", {"column": "email"}, 3, [4, 9, 17]),
            ("repeated_header", {}, 1, [57]),
            ("hidden_row", {}, 2345, list(range(100, 120))),
            ("total_row", {}, 2, [701, 1402]),
            ("signature_row", {}, 1, [1404]),
            ("first_of_several_values", {"column": "phone"}, 6, [4, 5, 6, 7, 8, 9]),
            ("link_taken", {"column": "email"}, 1, [12]),
            ("cell_shortened", {}, 1, [88]),
            (
                "other_encoding",
                {"encoding": "utf-8", "second_encoding": "windows-1252"},
                20,
                list(range(2, 22)),
            ),
            ("code_of_a_later_release", {}, 1, [1]),
        )
    ),
]
BATCH_SECONDS = (1.2, 0.9, 0.8, 1.6, 0.7, 0.9, 1.1, 0.8, 0.9, 1.0)


def create_demo_pages():
    """Create the demo imports. Return their owner, and the URL of each page by its name."""
    owner, jobs = create_every_import()
    pages = {"imports-empty": f"{reverse('imports:list')}?q=nothing"}
    pages |= {name: reverse("imports:detail", args=[job.pk]) for name, job in jobs.items()}
    pages["history"] = reverse("imports:history", args=[jobs["paused"].pk])
    pages["rows"] = reverse("imports:rows", args=[jobs["complete"].pk])
    pages |= {
        "customers": reverse("customers"),
        "imports": reverse("imports:list"),
        "password": reverse("password"),
        "404": "/nowhere/",
    }
    return owner, pages


def create_demo_admin_pages():
    """Create the demo imports. Return their owner, and the URL of each admin page by its name."""
    owner, jobs = create_every_import()
    pages = {
        f"admin-{name}": reverse("admin:imports_importjob_change", args=[job.pk])
        for name, job in jobs.items()
    }
    for name in (
        "imports_importjob",
        "imports_importbatch",
        "imports_worker",
        "customers_customer",
    ):
        pages[f"admin-list-{name}"] = reverse(f"admin:{name}_changelist")
    ImportJob.objects.filter(started_at__isnull=False, total__isnull=False).update(
        created_at=F("started_at") - timedelta(seconds=9),
        started_at=F("started_at") - timedelta(seconds=6),
        checked_at=F("started_at") - timedelta(seconds=1),
    )
    rows = reverse("admin:imports_importjob_rows", args=[jobs["complete"].pk])
    batch = jobs["running"].batches.first()
    return owner, pages | {
        "admin-rows": rows,
        "admin-rows-of-a-cause": f"{rows}?outcome=failed&column=phone&code=invalid_phone",
        "admin-rows-all-in": reverse("admin:imports_importjob_rows", args=[jobs["real"].pk]),
        "admin-batch": reverse("admin:imports_importbatch_change", args=[batch.pk]),
        "admin-customer": reverse(
            "admin:customers_customer_change", args=[Customer.objects.first().pk]
        ),
    }


def create_every_import():
    owner = get_user_model().objects.create_superuser("ama.mensah", password="sesame")
    Worker.objects.create(name="web-1:42", current_work=[{"what": "batch 6", "seconds": 1}])
    jobs = {status.lower(): create_import(status, owner) for status in Status}
    return owner, jobs | create_unusual_imports(owner) | run_real_imports(owner)


def create_unusual_imports(owner):
    million = {"total": 1_000_000, "checked": 1_000_000}
    only_failed = {"processed": 1_000_000, "created": 0, "failed": 1_000_000}
    nothing = {"created": 0, "unchanged": 0, "failed": 0, "skipped": 7000}
    clean = {"created": 7000, "failed": 0}
    return {
        "long-name": create_import(Status.COMPLETE, owner, file_name=LONG_NAME),
        "million": create_import(Status.COMPLETE, owner, **million | only_failed),
        "no-rows": create_import(Status.FAILED, owner, error_code="no_rows"),
        "all-skipped": create_import(Status.COMPLETE, owner, **nothing),
        "ready-summary": create_import(Status.READY, owner, read_summary=READ_SUMMARY),
        "complete-summary": create_import(Status.COMPLETE, owner, read_summary=READ_SUMMARY),
        "all-in": create_import(Status.COMPLETE, owner, **clean),
    }


def run_real_imports(owner):
    """Import real files, for sample values of columns and a preview."""
    real = run_import(make_csv(map(make_row, range(1, 60))), owner=owner)
    rows = [make_row(n, first="Efua", phone=f"+23320{n:07d}") for n in range(1, 9)]
    rows += [make_row(n) for n in range(50, 90)] + [make_row(100, phone="12")]
    preview = make_job(make_csv(rows), owner=owner, check_first=True, on_duplicate="update")
    headers = ["Marking", "Given", "Family name of the customer as written on the label", "@", "No"]
    unmapped = make_job(make_csv(map(make_row, range(5)), headers), owner=owner)
    jobs = {"real": real, "ready-preview": check_job(preview), "mapping-asked": check_job(unmapped)}
    return jobs | {
        "ready-guessed": check_job(make_import_with_guesses(owner)),
        "skipped-real": run_import_with_skipped_rows(owner),
    }


def make_import_with_guesses(owner):
    """Create an import with ignored columns and a guessed encoding."""
    headers = ["Shipping mark", "First name", "Last name", "E mail adrres", "Phone", "Remarks"]
    rows = [
        [*make_row(n, last="Müller", phone=f"+23326{n:07d}"), "à voir"] for n in range(200, 220)
    ]
    content = make_csv(rows, headers).decode().encode("windows-1252")
    return make_job(content, owner=owner, check_first=True)


def run_import_with_skipped_rows(owner):
    return run_import(
        make_csv([*map(make_row, range(1, 9)), make_row(300, phone="12")]), owner=owner
    )


def create_import(status, owner, **fields):
    """Create an import in any status, with batches and failed rows."""
    code, params = STATUS_ERRORS.get(status, (None, None))
    now = timezone.now()
    known = {
        "file_name": "customers_march.xlsx",
        "error_code": code,
        "error_params": params,
        "started_at": None if status == Status.QUEUED else now - timedelta(seconds=75),
        "finished_at": now if status in FINAL_STATUSES else None,
        "progress_percent": STATUS_PERCENTS.get(status, 0),
    }
    known["phase_started_at"] = known["started_at"] or now
    fields = known | STATUS_FIELDS.get(status, COUNTS) | fields
    job = ImportJob.objects.create(
        owner=owner, importer="customers", file_size=1_834_221, status=status, **fields
    )
    create_batches(job)
    create_failed_rows(job)
    create_events(job)
    return job


def create_events(job):
    """Create the history of an import. A paused one has a long history, by several people."""
    upload = (-80, Command.UPLOAD, job.owner, Via.PAGE, {})
    events = [upload]
    if job.status == Status.PAUSED:
        clerk, _ = get_user_model().objects.get_or_create(username="kofi.owusu-of-the-north-office")
        events += [
            (-70, Command.CHANGE, job.owner, Via.PAGE, {"options": ["on_duplicate", "sheet"]}),
            (-60, Command.START, clerk, Via.REST, {}),
            (-50, Command.PAUSE, None, Via.ADMIN, {}),
            (-40, Command.RESUME, None, Via.SYSTEM, {}),
            *(
                (second, Command.DOWNLOAD, clerk, Via.REST, {"file": "failed-rows.xlsx"})
                for second in range(-30, -22)
            ),
            (-20, Command.DOWNLOAD, job.owner, Via.PAGE, {"file": ORIGINAL_FILE}),
            (-10, Command.PAUSE, None, Via.COMMAND_LINE, {}),
        ]
    now = timezone.now()
    ImportEvent.objects.bulk_create(
        ImportEvent(
            job=job,
            at=now + timedelta(seconds=second),
            command=command,
            user=user,
            via=via,
            details=details,
        )
        for second, command, user, via, details in events
    )


def create_batches(job):
    if not job.created:
        return
    at = job.started_at
    for number, seconds in enumerate(BATCH_SECONDS):
        began, at = at, at + timedelta(seconds=seconds)
        batch = ImportBatch.objects.create(
            job=job,
            number=number,
            first_row=number * 700 + 2,
            last_row=number * 700 + 701,
            rows=700,
            started_at=began,
            applied_at=at,
            worker="web-1:42",
        )
    began = {"worker": "web-1:17", "started_at": at}
    ImportAttempt.objects.create(batch=batch, session="17 2026-01-01 12:00:00+00", **began)


def create_failed_rows(job, count=80):
    if not job.failed and not job.skipped:
        return
    outcome = Outcome.FAILED if job.failed else Outcome.SKIPPED
    for number in range(2, count + 2):
        column, (code, value) = list(PROBLEMS.items())[number % 7 % 4]
        error = {"field": column, "code": code, "params": ERROR_PARAMS, "value": value}
        if outcome == Outcome.SKIPPED:
            error["code"] = "exists"
        ImportRow.objects.create(job=job, number=number, outcome=outcome, errors=[error])
