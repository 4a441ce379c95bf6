"""The pages. Each reads what its reader may see and shows it; deciding is done elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages as notes
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from imports import access, lifecycle, messages, progress
from imports.importer import Importer, registered, shown_importer
from imports.models import ImportJob, ImportRow, NotAllowed
from imports.pages.forms import UploadForm, too_large
from imports.statuses import MAY_BECOME, Outcome, Status

IMPORTS_A_PAGE = 20
ROWS_A_PAGE = 50
# Work goes on by itself: the page's script follows it without asking for the page anew.
MOVING = (Status.QUEUED, Status.CHECKING, Status.RUNNING)
LISTED = (Outcome.FAILED, Outcome.SKIPPED)

Context = dict[str, Any]


@never_cache
@login_required
def imports(request: HttpRequest) -> HttpResponse:
    """The reader's imports, and a form to add one."""
    may_import = access.may_import(request.user)
    form = UploadForm()
    if request.method == "POST":
        if not may_import:
            raise PermissionDenied
        form = UploadForm(request.POST, request.FILES)
        if form.is_valid():
            job = lifecycle.upload(request.user, form.cleaned_data.pop("file"), **form.cleaned_data)
            return redirect("import", job.pk)
    found = access.visible_imports(request.user).select_related("owner")
    page = page_of(request, found, IMPORTS_A_PAGE)
    context = {
        "form": form if may_import else None,
        "importers": [described(importer) for importer in registered()],
        "most_bytes": settings.IMPORT_MAX_UPLOAD_BYTES,
        "page": page,
        "any_moving": any(job.status in MOVING for job in page),
        "words": upload_words(),
    }
    return render(request, "imports/imports.html", context, status=422 if form.errors else 200)


@never_cache
@login_required
@require_safe
def show(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One import: how far it is, what it would do or did, and the rows that were refused."""
    found = access.visible_imports(request.user).select_related("owner")
    job = get_object_or_404(found, pk=pk)
    snapshot = progress.snapshot(job)
    context = {
        "job": job,
        "snapshot": snapshot,
        "moving": " ".join(MOVING),
        "words": words(),
        **facts_of(job),
        **live_notices(snapshot),
        **offered(job, request),
    }
    if job.status not in MOVING:
        context |= rows_of(job, request)
    return render(request, "imports/import.html", context)


def facts_of(job: ImportJob) -> Context:
    importer = shown_importer(job.importer)
    elapsed = elapsed_seconds(job)
    return {
        "is_moving": job.status in MOVING,
        "is_final": job.is_final,
        "shows_work": job.status in MOVING or job.checked > 0,
        "importer": described(importer),
        "error": error_of(job, importer) if job.error_code else "",
        "elapsed": elapsed,
        "took": duration(elapsed),
        "written": job.created + job.updated,
        "arrived": job.created + job.updated + job.unchanged,
        "to_create": job.checked - job.processed - job.to_update,
        "to_update": job.to_update,
    }


def live_notices(snapshot: progress.Snapshot) -> Context:
    """What to say while work goes on; the script has the same four lines."""
    live, moves = snapshot["live"], snapshot["status"] in MOVING
    return {
        "no_worker": moves and live["workers"] == 0,
        "stalled": moves and live["stalled"] and live["workers"] > 0,
        "left": duration(live["eta_seconds"]),
    }


def elapsed_seconds(job: ImportJob) -> int | None:
    if job.started_at is None:
        return None
    return round(((job.finished_at or timezone.now()) - job.started_at).total_seconds())


def duration(seconds: int | None) -> str:
    """Short, and the same in all languages: "2 min 5 s". The script has the same."""
    if seconds is None:
        return ""
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def error_of(job: ImportJob, importer: type[Importer]) -> str:
    params = dict(job.error_params or {})
    if "columns" in params:
        params["columns"] = [name_of(importer, field) for field in params["columns"]]
    return messages.of_job(job.error_code, params)


def offered(job: ImportJob, request: HttpRequest) -> Context:
    """What this reader may do to the import now."""
    mine = access.controllable_imports(request.user).filter(pk=job.pk).exists()
    return {
        "may_start": mine and job.status == Status.READY,
        "may_cancel": mine and Status.CANCELLED in MAY_BECOME[Status(job.status)],
    }


# --- Refused and skipped rows ------------------------------------------------


def rows_of(job: ImportJob, request: HttpRequest) -> Context:
    """A page of the rows that were not imported: the refused, or else the skipped."""
    counts = {Outcome.FAILED: job.failed, Outcome.SKIPPED: job.skipped}
    tabs = [(outcome, outcome.label, count) for outcome, count in counts.items() if count]
    wanted = request.GET.get("outcome")
    shown = wanted if wanted in LISTED else tabs[0][0] if tabs else Outcome.FAILED
    rows = ImportRow.objects.filter(job=job, outcome=shown).order_by("number")
    page = page_of(request, rows.only("number", "errors"), ROWS_A_PAGE)
    return {
        "tabs": tabs,
        "outcome": shown,
        "query": f"outcome={shown}&",
        "page": page,
        "rows": [(row.number, reasons(row, job)) for row in page],
    }


def reasons(row: ImportRow, job: ImportJob) -> list[Context]:
    importer = shown_importer(job.importer)
    return [
        {
            "column": name_of(importer, error["column"]) if error["column"] else "",
            "value": error["value"],
            "reason": messages.of_row(error, job.importer),
        }
        for error in row.errors or []
    ]


# --- Start and cancel --------------------------------------------------------


@login_required
@require_POST
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    return ask(request, pk, lifecycle.start)


@login_required
@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    return ask(request, pk, lifecycle.cancel)


def ask(request: HttpRequest, pk: UUID, move: Callable[[UUID], ImportJob]) -> HttpResponse:
    job = get_object_or_404(access.controllable_imports(request.user), pk=pk)
    try:
        move(job.pk)
    except NotAllowed:
        notes.warning(request, _("That is no longer possible: see below how the import stands."))
    return redirect("import", job.pk)


# --- Words -------------------------------------------------------------------


def described(importer: type[Importer]) -> Context:
    """What a clerk should know before filling a spreadsheet."""
    columns = [
        {"name": name_of(importer, column.field), "column": column} for column in importer.columns
    ]
    return {"name": capfirst(importer.title()), "columns": columns}


def name_of(importer: type[Importer], field: str) -> str:
    return capfirst(importer.label(field))


def words() -> Context:
    """What the script says, in the reader's language."""
    return {
        "statuses": dict(Status.choices),
        "percent": _("{n} percent done"),
    }


def upload_words() -> Context:
    return {
        "none": _("Choose a file first."),
        "tooLarge": too_large(),
        "uploading": _("Uploading: {n} %"),
        "storing": _("Uploaded. One moment…"),
        "again": _("The connection broke. Trying again…"),
        "broken": _("The file could not be sent. Check your connection, then press Import again."),
        "signedOut": _("You are no longer signed in. Reload this page and sign in again."),
        "refused": _("The server could not take the file ({n}). Try again in a minute."),
    }


def page_of(request: HttpRequest, found: Any, size: int) -> Page:
    return Paginator(found, size).get_page(request.GET.get("page"))


# --- What went wrong ---------------------------------------------------------


def failed(request: HttpRequest) -> HttpResponse:
    """The page for an error nobody caught; without the database it says that, and 503."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        page = render_to_string("503.html")
        return HttpResponse(page, status=503, headers={"Retry-After": "5"})
    return HttpResponse(render_to_string("500.html"), status=500)
