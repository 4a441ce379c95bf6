"""Start and cancel imports in the admin, one or several at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from imports import lifecycle, permissions
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import User
from imports.statuses import ALLOWED_TRANSITIONS, Status

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

MAX_SELECTED_IMPORTS = 200  # One request changes each import in a transaction of its own.


class Action(NamedTuple):
    """A change of status, and the messages that report it."""

    change: Callable[[UUID], ImportJob]
    is_offered: Callable[[Status], bool]
    success_message: _StrPromise
    failure_message: _StrPromise


ADMIN_ACTIONS = {
    "start": Action(
        lifecycle.start,
        lambda status: status == Status.READY,
        gettext_lazy("Started: %(files)s."),
        gettext_lazy("Not started, because its status is “%(status)s”: %(files)s."),
    ),
    "cancel": Action(
        lifecycle.cancel,
        lambda status: Status.CANCELLED in ALLOWED_TRANSITIONS[status],
        gettext_lazy("Cancelled: %(files)s."),
        gettext_lazy("Not cancelled, because its status is “%(status)s”: %(files)s."),
    ),
}


class ActionResult(NamedTuple):
    """The result of an action on one import. Imports with equal results share one message."""

    level: int
    message: _StrPromise
    status: str = ""


FORBIDDEN = ActionResult(
    messages.WARNING,
    gettext_lazy("You can view these imports but not start or cancel them: %(files)s."),
)


def list_offered_actions(job: ImportJob, user: User) -> list[str]:
    """Return the names of the actions that the user may perform on the import now."""
    can_control = permissions.get_controllable_imports(user).filter(pk=job.pk).exists()
    status = Status(job.status)
    return [
        name for name, action in ADMIN_ACTIONS.items() if can_control and action.is_offered(status)
    ]


def run_action(
    model_admin: ModelAdmin[ImportJob],
    request: HttpRequest,
    selected: QuerySet[ImportJob],
    name: str,
) -> None:
    """Perform the action on every selected import, and report the result of each to the user."""
    jobs = list(selected[: MAX_SELECTED_IMPORTS + 1])
    if len(jobs) > MAX_SELECTED_IMPORTS:
        text = gettext("Nothing was done. Select at most %(most)s imports at a time.")
        messages.error(request, text % {"most": MAX_SELECTED_IMPORTS})
        return
    controllable = permissions.get_controllable_imports(request.user)
    allowed = set(controllable.filter(pk__in=[job.pk for job in jobs]).values_list("pk", flat=True))
    file_names: dict[ActionResult, list[str]] = {}
    for job in jobs:
        is_allowed = job.pk in allowed
        result = _run_on_import(model_admin, request, job, name) if is_allowed else FORBIDDEN
        file_names.setdefault(result, []).append(job.file_name)
    for result, names in file_names.items():
        text = result.message % {"files": ", ".join(names), "status": result.status}
        messages.add_message(request, result.level, text)


def _run_on_import(
    model_admin: ModelAdmin[ImportJob], request: HttpRequest, job: ImportJob, name: str
) -> ActionResult:
    """Perform the action and log it in the admin's history, or return why it is not allowed."""
    action = ADMIN_ACTIONS[name]
    try:
        changed = action.change(job.pk)
    except TransitionNotAllowed:
        status = ImportJob.objects.values_list("status", flat=True).get(pk=job.pk)
        return ActionResult(messages.WARNING, action.failure_message, str(Status(status).label))
    model_admin.log_change(request, changed, action.success_message % {"files": job.file_name})
    return ActionResult(messages.SUCCESS, action.success_message)
