"""One import of every kind that a page may have to show, and the addresses of their pages."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from customers.models import Customer
from imports.models import ImportAttempt, ImportBatch, ImportJob, ImportRow, Worker
from imports.statuses import FINAL_STATUSES, Outcome, Status
from tests.factories import check_job, make_csv, make_job, make_row, run_import

LONG_NAME = "customers_of_all_offices_north_and_south_" * 5 + "final_v2.xlsx"
ERRORS = {
    Status.MAPPING: ("missing_columns", {"columns": ["shipping_mark", "phone"]}),
    Status.FAILED: ("too_much_memory", None),
}
COUNTS = {"total": 7000, "checked": 7000, "processed": 7000, "created": 6970, "failed": 30}
BEFORE = {"total": None, "checked": 0, "processed": 0, "created": 0, "failed": 0}
HALF = COUNTS | {"processed": 3530, "created": 3500}
OF_A_STATUS = {
    Status.QUEUED: BEFORE,
    Status.CHECKING: BEFORE | {"checked": 2500, "processed": 20, "failed": 20},
    Status.MAPPING: BEFORE,
    Status.READY: COUNTS | {"processed": 30, "created": 0, "to_update": 1200, "check_first": True},
    Status.RUNNING: HALF,
    Status.PAUSED: HALF,
    Status.CANCELLED: HALF,
    Status.FAILED: BEFORE,
}
PERCENTS = {
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
PARAMS = {"row": 17, "national": "023 123 4567", "international": "+233 23 123 4567"}
READ_SUMMARY = [
    {"code": "columns_ignored", "params": {"count": 2, "columns": ["Remarks", "Balance"]}},
    {
        "code": "columns_joined",
        "params": {"column": "phone", "columns": ["Phone", "Mobile", "Phone at home"]},
    },
    {"code": "header_in_two_rows", "params": {"first": 3, "last": 4}},
    {"code": "second_reader", "params": {}},
    *(
        {"code": code, "params": {**known, "count": count, "rows": rows}}
        for code, known, count, rows in (
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
SECONDS_EACH = (1.2, 0.9, 0.8, 1.6, 0.7, 0.9, 1.1, 0.8, 0.9, 1.0)


def create_demo_pages():
    """The owner of it all, and for each page its name and address."""
    owner, jobs = imports_of_every_kind()
    pages = {"imports-empty": f"{reverse('imports')}?q=nothing"}
    pages |= {name: reverse("import", args=[job.pk]) for name, job in jobs.items()}
    pages["rows"] = reverse("import-rows", args=[jobs["complete"].pk])
    pages |= {
        "customers": reverse("customers"),
        "imports": reverse("imports"),
        "password": reverse("password"),
        "404": "/nowhere/",
    }
    return owner, pages


def create_demo_admin_pages():
    """The same of the admin's pages."""
    owner, jobs = imports_of_every_kind()
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


def imports_of_every_kind():
    owner = get_user_model().objects.create_superuser("ama.mensah", password="sesame")
    Worker.objects.create(name="web-1:42", current_work=[{"what": "batch 6", "seconds": 1}])
    jobs = {status.lower(): import_in(status, owner) for status in Status}
    return owner, jobs | unusual(owner) | carried_through(owner)


def unusual(owner):
    million = {"total": 1_000_000, "checked": 1_000_000}
    all_refused = {"processed": 1_000_000, "created": 0, "failed": 1_000_000}
    nothing = {"created": 0, "unchanged": 0, "failed": 0, "skipped": 7000}
    clean = {"created": 7000, "failed": 0}
    return {
        "long-name": import_in(Status.COMPLETE, owner, file_name=LONG_NAME),
        "million": import_in(Status.COMPLETE, owner, **million | all_refused),
        "no-rows": import_in(Status.FAILED, owner, error_code="no_rows"),
        "all-skipped": import_in(Status.COMPLETE, owner, **nothing),
        "ready-summary": import_in(Status.READY, owner, read_summary=READ_SUMMARY),
        "complete-summary": import_in(Status.COMPLETE, owner, read_summary=READ_SUMMARY),
        "all-in": import_in(Status.COMPLETE, owner, **clean),
    }


def carried_through(owner):
    """What only real files have: samples of columns, and a preview."""
    real = run_import(make_csv(map(make_row, range(1, 60))), owner=owner)
    rows = [make_row(n, first="Efua", phone=f"+23320{n:07d}") for n in range(1, 9)]
    rows += [make_row(n) for n in range(50, 90)] + [make_row(100, phone="12")]
    preview = make_job(make_csv(rows), owner=owner, check_first=True, on_duplicate="update")
    headers = ["Marking", "Given", "Family name of the customer as written on the label", "@", "No"]
    asked = make_job(make_csv(map(make_row, range(5)), headers), owner=owner)
    jobs = {"real": real, "ready-preview": check_job(preview), "mapping-asked": check_job(asked)}
    return jobs | {"ready-guessed": check_job(guessed(owner)), "skipped-real": skipped(owner)}


def guessed(owner):
    """Columns that nothing is filled from, in letters that nothing tells."""
    headers = ["Shipping mark", "First name", "Last name", "E mail adrres", "Phone", "Remarks"]
    rows = [
        [*make_row(n, last="Müller", phone=f"+23326{n:07d}"), "à voir"] for n in range(200, 220)
    ]
    content = make_csv(rows, headers).decode().encode("windows-1252")
    return make_job(content, owner=owner, check_first=True)


def skipped(owner):
    return run_import(
        make_csv([*map(make_row, range(1, 9)), make_row(300, phone="12")]), owner=owner
    )


def import_in(status, owner, **fields):
    """An import in any status, as its rows alone tell it."""
    code, params = ERRORS.get(status, (None, None))
    now = timezone.now()
    known = {
        "file_name": "customers_march.xlsx",
        "error_code": code,
        "error_params": params,
        "started_at": None if status == Status.QUEUED else now - timedelta(seconds=75),
        "finished_at": now if status in FINAL_STATUSES else None,
        "progress_percent": PERCENTS.get(status, 0),
    }
    known["phase_started_at"] = known["started_at"] or now
    fields = known | OF_A_STATUS.get(status, COUNTS) | fields
    job = ImportJob.objects.create(
        owner=owner, importer="customers", file_size=1_834_221, status=status, **fields
    )
    write_batches(job)
    refuse_rows(job)
    return job


def write_batches(job):
    if not job.created:
        return
    at = job.started_at
    for number, seconds in enumerate(SECONDS_EACH):
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


def refuse_rows(job, count=80):
    if not job.failed and not job.skipped:
        return
    outcome = Outcome.FAILED if job.failed else Outcome.SKIPPED
    for number in range(2, count + 2):
        column, (code, value) = list(PROBLEMS.items())[number % 7 % 4]
        error = {"column": column, "code": code, "params": PARAMS, "value": value}
        if outcome == Outcome.SKIPPED:
            error["code"] = "exists"
        ImportRow.objects.create(job=job, number=number, outcome=outcome, errors=[error])
