"""Starting and cancelling from the admin: one import, or many with a word on each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import AbstractUser
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from imports import lifecycle, permissions
from imports.models import ImportJob, TransitionNotAllowed
from imports.statuses import ALLOWED_TRANSITIONS, Status

MOST_AT_ONCE = 200  # Each is a transaction of its own, and this is one request.


class Move(NamedTuple):
    act: Callable[[UUID], ImportJob]
    only_from: Callable[[Status], bool]
    done: str
    refused: str


MOVES = {
    "start": Move(
        lifecycle.start,
        lambda status: status == Status.READY,
        gettext_lazy("Started: %(files)s."),
        gettext_lazy("Not started, because its status is “%(status)s”: %(files)s."),
    ),
    "cancel": Move(
        lifecycle.cancel,
        lambda status: Status.CANCELLED in ALLOWED_TRANSITIONS[status],
        gettext_lazy("Cancelled: %(files)s."),
        gettext_lazy("Not cancelled, because its status is “%(status)s”: %(files)s."),
    ),
}


class Said(NamedTuple):
    """What is true of one import or of several, so that each sentence is said once."""

    level: int
    words: str
    status: str = ""


FORBIDDEN = Said(
    messages.WARNING,
    gettext_lazy("You may look at these imports, but not start or stop them: %(files)s."),
)


def offered(job: ImportJob, user: AbstractUser) -> list[str]:
    """What this reader may do to the import now."""
    mine = permissions.get_controllable_imports(user).filter(pk=job.pk).exists()
    return [name for name, move in MOVES.items() if mine and move.only_from(Status(job.status))]


def move_each(
    model_admin: ModelAdmin, request: HttpRequest, chosen: QuerySet[ImportJob], name: str
) -> None:
    """Move those that may be moved, and say of every one what became of it."""
    jobs = list(chosen[: MOST_AT_ONCE + 1])
    if len(jobs) > MOST_AT_ONCE:
        words = gettext("Nothing was done: choose at most %(most)s imports at a time.")
        messages.error(request, words % {"most": MOST_AT_ONCE})
        return
    mine = permissions.get_controllable_imports(request.user).filter(
        pk__in=[job.pk for job in jobs]
    )
    allowed = set(mine.values_list("pk", flat=True))
    files: dict[Said, list[str]] = {}
    for job in jobs:
        said = _move(model_admin, request, job, name) if job.pk in allowed else FORBIDDEN
        files.setdefault(said, []).append(job.file_name)
    for said, names in files.items():
        shown = said.words % {"files": ", ".join(names), "status": said.status}
        messages.add_message(request, said.level, shown)


def _move(model_admin: ModelAdmin, request: HttpRequest, job: ImportJob, name: str) -> Said:
    """Move one import, and note who did; or what forbids it, as it stands now."""
    move = MOVES[name]
    try:
        moved = move.act(job.pk)
    except TransitionNotAllowed:
        status = ImportJob.objects.values_list("status", flat=True).get(pk=job.pk)
        return Said(messages.WARNING, move.refused, str(Status(status).label))
    model_admin.log_change(request, moved, move.done % {"files": job.file_name})
    return Said(messages.SUCCESS, move.done)
