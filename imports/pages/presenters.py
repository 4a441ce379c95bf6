"""How an import is put before a reader: facts, notices and sentences, each made here once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db.models import Min
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from imports import error_messages, lifecycle, permissions, snapshots
from imports.importer import Importer, get_importer_or_placeholder
from imports.models import ImportJob
from imports.pages.forms import too_large
from imports.statuses import ALLOWED_TRANSITIONS, Status, Success

# Work goes on by itself: the page's script follows it without asking for the page anew.
ACTIVE = (Status.QUEUED, Status.CHECKING, Status.RUNNING, Status.UNDOING)

Context = dict[str, Any]


def import_shown(job: ImportJob, user: AbstractUser) -> Context:
    snapshot = snapshots.build_snapshot(job)
    return {
        "job": job,
        "snapshot": snapshot,
        "moving": ACTIVE,
        "partial": f"imports/status/{job.status.lower()}.html",
        "words": status_labels() | {"percent": _("{n} percent done")},
        "earlier": permissions.find_earlier_import_of_same_file(user, job),
        **facts_of(job),
        **live_notices(snapshot),
        **offered(job, user),
    }


def facts_of(job: ImportJob) -> Context:
    importer = get_importer_or_placeholder(job.importer)
    waited = has_waited(job)
    elapsed = writing_seconds(job) if waited else elapsed_seconds(job)
    return {
        "is_moving": job.status in ACTIVE,
        "is_final": job.is_final,
        "shows_work": shows_work(job),
        "importer": described(importer),
        "error": error_of(job),
        "waited": waited,
        "elapsed": elapsed,
        "took": "< 1 s" if job.is_final and elapsed == 0 else duration(elapsed),
        "written": job.created + job.updated,
        "arrived": job.created + job.updated + job.unchanged,
        "to_create": job.checked - job.processed - job.to_update,
        "to_update": job.to_update,
    }


def live_notices(snapshot: snapshots.Snapshot) -> Context:
    """What to say while work goes on; the script has the same four lines."""
    live, moves = snapshot["live"], snapshot["status"] in ACTIVE
    return {
        "no_worker": moves and live["workers"] == 0,
        "stalled": moves and live["stalled"] and live["workers"] > 0,
        "left": duration(live["eta_seconds"]),
    }


def shows_work(job: ImportJob) -> bool:
    """Whether there is anything done to count: what was only checked says what would be."""
    if job.status == Status.CANCELLED:
        return job.created + job.updated > 0
    return job.status in ACTIVE or (job.checked > 0 and job.status != Status.READY)


def has_waited(job: ImportJob) -> bool:
    """Whether a person's time lies between the import's beginning and now, or its end."""
    is_before = job.status in (Status.QUEUED, Status.CHECKING)
    return job.run > 1 or (job.check_first and not is_before)


def writing_seconds(job: ImportJob) -> int | None:
    began = job.batches.aggregate(began=Min("started_at"))["began"] if job.is_final else None
    return round((job.finished_at - began).total_seconds()) if began else None


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


def error_of(job: ImportJob) -> str:
    code = job.error_code
    return (
        error_messages.describe_job_error_with_labels(job.importer, code, job.error_params)
        if code
        else ""
    )


def failure_of(job: ImportJob) -> str:
    """Why it failed; "" where it did not."""
    return error_of(job) if job.status == Status.FAILED else ""


def offered(job: ImportJob, user: AbstractUser) -> Context:
    """What this reader may do to the import now."""
    mine = permissions.get_controllable_imports(user).filter(pk=job.pk).exists()
    return {
        "may_start": mine and job.status == Status.READY,
        "may_cancel": mine and Status.CANCELLED in ALLOWED_TRANSITIONS[Status(job.status)],
        "can_change": mine and lifecycle.can_change(job),
        "can_import": permissions.can_import(user),
    }


def described(importer: type[Importer]) -> Context:
    """What a clerk should know before filling a spreadsheet."""
    columns = [
        {"name": name_of(importer, column.field), "column": column} for column in importer.columns
    ]
    return {"name": capfirst(importer.title()), "columns": columns, "importer": importer}


def name_of(importer: type[Importer], field: str) -> str:
    return capfirst(importer.label(field))


def status_labels() -> Context:
    """What the scripts say of a status; the server's pages say the same by `status_label`."""
    return {"statuses": dict(Status.choices), "nothingImported": Success.NONE.label}


def list_words() -> Context:
    """What the list's and the upload's scripts say, in the reader's language."""
    return status_labels() | {
        "none": _("Choose a file first."),
        "empty": _("The file is empty. Choose the file that holds your rows."),
        "tooLarge": too_large(),
        "uploading": _("Uploading…"),
        "storing": _("Uploaded. One moment…"),
        "again": _("The connection broke. Trying again…"),
        "broken": _("The file could not be sent. Check your connection, then press Import again."),
        "signedOut": _("You are no longer signed in. Reload this page and sign in again."),
        "refused": _("The server could not take the file ({n}). Try again in a minute."),
    }
