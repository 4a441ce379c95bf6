"""Template context of an import: its facts, notices and allowed actions."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Min, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from imports import error_messages, hooks, lifecycle, permissions, snapshots
from imports.error_messages import get_field_label
from imports.history import Actor, Command, ImportEvent, Via
from imports.importer import Importer, get_importer_or_placeholder
from imports.job_commands import JOB_COMMANDS, JobCommand
from imports.models import ImportJob
from imports.pages.forms import get_too_large_message
from imports.permissions import User
from imports.retention import get_contents_deadline
from imports.statuses import Status, Success
from imports.upload_options import describe_options

# The user only waits. Between these statuses, scripts update the page without reloading it.
IN_PROGRESS_STATUSES = (Status.QUEUED, Status.CHECKING, Status.RUNNING, Status.UNDOING)

# Commands that need neither a confirmation nor a look at the page of the import.
LIST_COMMANDS = (Command.PAUSE, Command.RESUME)
MAX_EVENTS = 10  # On the page of an import. The page of its history has all of them.

# An import goes through these statuses, and its page is not fetched again in between.
LIVE_BUTTON_STATUSES = (Status.QUEUED, Status.CHECKING, Status.RUNNING)

Context = dict[str, object]


class Button(NamedTuple):
    """The button of a command on a page."""

    name: str
    command: JobCommand
    url: str
    is_shown: bool
    shown_in: list[Status]  # Scripts show and hide the button when the status changes.
    templates: list[str]  # The first one that exists renders the button.


def build_import_context(job: ImportJob, user: User) -> Context:
    """Return what the page of an import shows in every status."""
    snapshot = snapshots.build_snapshot(job)
    return {
        "job": job,
        "snapshot": snapshot,
        "in_progress_statuses": IN_PROGRESS_STATUSES,
        "partial": f"imports/status/{job.status.lower()}.html",
        "texts": get_status_labels()
        | {"percent": _("{n} percent complete"), "stalled": error_messages.STALLED_MESSAGES},
        "earlier": permissions.find_earlier_import_of_same_file(user, job),
        "failed_calls": hooks.list_failed_calls(job),
        **_build_facts(job),
        **_build_live_notices(snapshot),
        **_build_allowed_actions(job, user),
    }


def _build_facts(job: ImportJob) -> Context:
    importer = get_importer_or_placeholder(job.importer)
    waited = _has_waited_for_user(job)
    elapsed = _get_writing_seconds(job) if waited else _get_elapsed_seconds(job)
    return {
        "is_in_progress": job.status in IN_PROGRESS_STATUSES,
        "is_final": job.is_final,
        "shows_progress": _shows_progress(job),
        "shows_facts": job.status in (*IN_PROGRESS_STATUSES, Status.PAUSED) or job.is_final,
        "importer": describe_importer(importer),
        "upload_options": describe_options(job),
        "error": describe_error(job),
        "waited": waited,
        "elapsed": elapsed,
        "duration": "< 1 s" if job.is_final and elapsed == 0 else format_seconds(elapsed),
        "has_failed_rows": job.failed > 0 and job.has_contents,
        "kept_until": get_contents_deadline(job),
        "written": job.created + job.updated,
        "remaining": (job.total or 0) - job.processed,
        "imported": job.created + job.updated + job.unchanged,
        "to_create": job.checked - job.processed - job.to_update,
        "to_update": job.to_update,
    }


def _build_live_notices(snapshot: snapshots.Snapshot) -> Context:
    """Return the notices of an import in progress. import.js derives the same fields."""
    live = snapshot["live"]
    return {
        "stalled": live["stalled"],
        "stalled_message": describe_stalled(snapshot),
        "left": format_seconds(live["eta_seconds"]),
    }


def _shows_progress(job: ImportJob) -> bool:
    """Return whether the page shows the progress bar and the counts.

    An import that was only checked shows what it would do instead.
    """
    if job.status == Status.CANCELLED:
        return job.created + job.updated > 0
    return job.status in IN_PROGRESS_STATUSES or (job.checked > 0 and job.status != Status.READY)


def _has_waited_for_user(job: ImportJob) -> bool:
    """Return whether the time since the start of the import includes waiting for the user."""
    is_before_review = job.status in (Status.QUEUED, Status.CHECKING)
    return job.run > 1 or (job.check_first and not is_before_review)


def _get_writing_seconds(job: ImportJob) -> int | None:
    """Return the seconds from the start of the first batch to the end; None before the end."""
    if job.finished_at is None:
        return None
    started = job.batches.aggregate(started=Min("started_at"))["started"]
    return round((job.finished_at - started).total_seconds()) if started else None


def _get_elapsed_seconds(job: ImportJob) -> int | None:
    """Return the seconds from the start of the import to its end or now; None before the start."""
    if job.started_at is None:
        return None
    return round(((job.finished_at or timezone.now()) - job.started_at).total_seconds())


def format_seconds(seconds: int | None) -> str:
    """Return for example "2 min 5 s"; "" for None. The text is the same in all languages.

    static/imports/import.js formats durations in the same way.
    """
    if seconds is None:
        return ""
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def describe_error(job: ImportJob) -> str:
    """Return the error of the import in the user's language; "" if there is none."""
    if not job.error_code:
        return ""
    return error_messages.describe_job_error_with_labels(
        job.importer, job.error_code, job.error_params
    )


def describe_stalled(snapshot: snapshots.Snapshot) -> str:
    """Return why the import makes no progress; "" if it does."""
    reason = snapshot["live"]["stalled_reason"]
    return "" if reason is None else error_messages.describe_stalled_reason(reason)


def describe_failure(job: ImportJob) -> str:
    """Return why the import failed; "" if it did not fail."""
    return describe_error(job) if job.status == Status.FAILED else ""


def get_actor(request: HttpRequest) -> Actor:
    """Return who gives a command on a page, for the history of the import."""
    assert isinstance(request.user, AbstractBaseUser)  # The view requires a login.
    return Actor(request.user, Via.PAGE)


def _build_allowed_actions(job: ImportJob, user: User) -> Context:
    can_control = permissions.get_controllable_imports(user).filter(pk=job.pk).exists()
    return {
        "buttons": build_buttons(job, user) if can_control else [],
        "can_change": can_control
        and lifecycle.can_change(job)
        and permissions.is_permitted(user, job, Command.CHANGE),
        "can_delete": can_control and lifecycle.can_delete_contents(job),
        "can_import": permissions.can_import(user),
        "can_download": permissions.can_download(user, job),
    }


def build_buttons(job: ImportJob, user: User) -> list[Button]:
    """Return the buttons of the page of an import that the user controls.

    In LIVE_BUTTON_STATUSES the page has the buttons of all of them, and scripts show those of the
    current status.
    """
    has_all = job.status in LIVE_BUTTON_STATUSES
    return [
        button
        for name, command in JOB_COMMANDS.items()
        if permissions.is_permitted(user, job, name)
        if (button := _build_button(job, name)).is_shown
        or (has_all and command.statuses & {*LIVE_BUTTON_STATUSES})
    ]


def build_list_buttons(job: ImportJob, user: User) -> list[Button]:
    """Return the buttons of an import in the list. Scripts show those of the current status."""
    return [
        _build_button(job, name)
        for name in LIST_COMMANDS
        if permissions.is_permitted(user, job, name)
    ]


def _build_button(job: ImportJob, name: Command) -> Button:
    command = JOB_COMMANDS[name]
    return Button(
        name=name.value,
        command=command,
        url=reverse(f"imports:{name.value}", args=[job.pk]),
        is_shown=command.is_offered(job),
        shown_in=sorted(command.statuses),
        templates=[f"imports/commands/{name.value}.html", "imports/commands/command.html"],
    )


def list_events(job: ImportJob) -> QuerySet[ImportEvent]:
    """Return the history of the import, the newest event first."""
    return job.events.select_related("user").order_by("-at", "-pk")


def build_history_context(job: ImportJob) -> Context:
    """Return the newest events of the import."""
    events = list(list_events(job)[: MAX_EVENTS + 1])
    return {"events": events[:MAX_EVENTS], "has_more_events": len(events) > MAX_EVENTS}


def describe_importer(importer: type[Importer]) -> Context:
    """Return the name of the importer and the columns that it expects."""
    columns = [
        {"name": get_field_label(importer, column.field), "column": column}
        for column in importer.columns
    ]
    return {"name": capfirst(importer.title()), "columns": columns, "importer": importer}


def get_status_labels() -> dict[str, object]:
    """Return the labels that scripts show. The server shows the same as `status_label`."""
    return {"statuses": dict(Status.choices), "nothingImported": Success.NONE.label}


def list_texts() -> dict[str, object]:
    """Return the texts that the scripts of the list and the upload show."""
    return get_status_labels() | {
        "none": _("Choose a file first."),
        "empty": _("The file is empty. Choose a file that contains rows."),
        "tooLarge": get_too_large_message(),
        "uploading": _("Uploading…"),
        "storing": _("Uploaded. Saving the file…"),
        "again": _("The connection was lost. Retrying…"),
        "broken": _(
            "The file could not be uploaded. Check your connection, then press Import again."
        ),
        "signedOut": _("You are no longer signed in. Reload this page and sign in again."),
        "serverError": _(
            "The server could not accept the file (error {n}). Try again in a minute."
        ),
    }
