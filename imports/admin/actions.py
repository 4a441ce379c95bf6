"""Give commands to imports in the admin, one or several at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from imports import permissions
from imports.history import Actor, Command, Via
from imports.job_commands import ALL_COMMANDS, JobCommand, run_command
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import User
from imports.quotas import QuotaExceeded

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

MAX_SELECTED_IMPORTS = 200  # One request changes each import in a transaction of its own.


class ActionResult(NamedTuple):
    """The result of an action on one import. Imports with equal results share one message."""

    level: int
    message: _StrPromise  # With %(files)s, and %(reason)s if the import refused the command.
    reason: str = ""


FORBIDDEN = ActionResult(
    messages.WARNING,
    gettext_lazy("You can view these imports but not control them: %(files)s."),
)
DELETED_MESSAGE = gettext_lazy("Deleted in the meantime: %(files)s.")
REFUSED_MESSAGE = gettext_lazy("%(reason)s (%(files)s)")


def list_offered_commands(job: ImportJob, user: User) -> dict[str, JobCommand]:
    """Return the commands, by name, that the user may give to the import now."""
    if not permissions.get_controllable_imports(user).filter(pk=job.pk).exists():
        return {}
    return {
        name.value: each
        for name, each in ALL_COMMANDS.items()
        if each.is_offered(job) and permissions.is_permitted(user, job, name)
    }


def run_action(
    model_admin: ModelAdmin[ImportJob],
    request: HttpRequest,
    selected: QuerySet[ImportJob],
    name: Command,
) -> None:
    """Give the command to every selected import, and report the result of each to the user."""
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
        text = result.message % {"files": ", ".join(names), "reason": result.reason}
        messages.add_message(request, result.level, text)


def _run_on_import(
    model_admin: ModelAdmin[ImportJob], request: HttpRequest, job: ImportJob, name: Command
) -> ActionResult:
    """Give the command and log it in the admin's history, or return why it is refused."""
    assert isinstance(request.user, AbstractBaseUser)  # The admin requires a login.
    success = ALL_COMMANDS[name].success
    try:
        changed = run_command(name, job.pk, Actor(request.user, Via.ADMIN))
    except (TransitionNotAllowed, permissions.NotPermitted, QuotaExceeded) as error:
        return ActionResult(messages.WARNING, REFUSED_MESSAGE, str(error))
    except ImportJob.DoesNotExist:
        return ActionResult(messages.WARNING, DELETED_MESSAGE)
    model_admin.log_change(request, changed, success % {"files": job.file_name})
    return ActionResult(messages.SUCCESS, success)
