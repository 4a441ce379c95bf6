"""The commands that users give to an import: when each is offered, and why one is refused.

REST API, pages and admin offer the commands of JOB_COMMANDS. A new command is one function of
`imports.lifecycle` and one entry here. A template `imports/commands/<name>.html` is optional: it
replaces the button of the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from imports import error_messages, lifecycle
from imports.history import Actor, Command
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import User, is_permitted
from imports.statuses import Status, get_source_statuses

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

# The code of a refusal because of the status. Other codes have a sentence of their own.
NOT_ALLOWED = "not_allowed"


class LifecycleFunction(Protocol):
    """A function of `imports.lifecycle` that carries out a command."""

    def __call__(self, job: ImportJob | UUID, *, by: Actor) -> ImportJob: ...


def _is_always_possible(job: ImportJob) -> bool:
    return True


class JobCommand(NamedTuple):
    """One command.

    It is offered in `statuses`, if `is_possible` is true too. `is_possible` reads only fields of
    the import: it is called for each import of a list.
    """

    run: LifecycleFunction
    statuses: frozenset[Status]
    summary: str  # For the description of the REST API.
    label: _StrPromise  # Of a button.
    bulk_label: _StrPromise  # Of the action on several imports, in the admin.
    success: _StrPromise  # With %(files)s.
    refusal: _StrPromise
    # What to consider before the command; None if it needs no confirmation.
    confirmation: _StrPromise | None = None
    description: str = ""  # More for the description of the REST API.
    is_primary: bool = False  # Whether it is what a user most likely wants to do next.
    is_possible: Callable[[ImportJob], bool] = _is_always_possible

    def is_offered(self, job: ImportJob) -> bool:
        return job.status in self.statuses and self.is_possible(job)


# By name, which is also the last part of the address and the entry in the history. In the order in
# which they are offered.
JOB_COMMANDS: dict[Command, JobCommand] = {
    Command.START: JobCommand(
        run=lifecycle.start,
        statuses=frozenset({Status.READY}),
        summary="Write the checked rows: READY becomes RUNNING",
        label=_("Start the import"),
        bulk_label=_("Start selected imports"),
        success=_("Started: %(files)s."),
        refusal=_("The import was not started."),
        is_primary=True,
    ),
    Command.PAUSE: JobCommand(
        run=lifecycle.pause,
        statuses=frozenset({Status.RUNNING}),
        summary="Stop writing rows until the import is resumed: RUNNING becomes PAUSED",
        label=_("Pause"),
        bulk_label=_("Pause selected imports"),
        success=_("Paused: %(files)s."),
        refusal=_("The import was not paused."),
    ),
    Command.RESUME: JobCommand(
        run=lifecycle.resume,
        statuses=frozenset({Status.PAUSED}),
        summary="Write the remaining rows: PAUSED becomes RUNNING",
        label=_("Resume"),
        bulk_label=_("Resume selected imports"),
        success=_("Resumed: %(files)s."),
        refusal=_("The import was not resumed."),
        is_primary=True,
    ),
    Command.CANCEL: JobCommand(
        run=lifecycle.cancel,
        statuses=frozenset(get_source_statuses(Status.CANCELLED)),
        summary="Stop the import for good; rows that are written stay",
        label=_("Cancel"),
        bulk_label=_("Cancel selected imports"),
        success=_("Cancelled: %(files)s."),
        refusal=_("The import was not cancelled."),
        confirmation=_("Rows already written are kept. The remaining rows are not imported."),
    ),
    Command.RETRY: JobCommand(
        run=lifecycle.retry,
        statuses=frozenset({Status.FAILED, Status.COMPLETE}),
        is_possible=lifecycle.can_retry,
        summary="Go on with a failed import, or import the failed rows of a completed one again",
        description="A failed import goes on from where it stopped. For a completed import, the "
        "answer is a new import of the same file, which reads only the rows that have failed; "
        "`Location` is its address. The 409 has the code `nothing_to_retry` if every failed row "
        "repeats an earlier row of the file, and `retried_already` if another import retries the "
        "rows.",
        label=_("Retry"),
        bulk_label=_("Retry selected imports"),
        success=_("Retried: %(files)s."),
        refusal=_("The import was not retried."),
    ),
    Command.UNDO: JobCommand(
        run=lifecycle.undo,
        statuses=frozenset(get_source_statuses(Status.UNDOING)),
        is_possible=lifecycle.can_undo,
        summary="Remove the created records and restore the updated ones; the import becomes "
        "UNDOING",
        description="Records that were edited or used since are kept. `undo_preview` says how "
        "many. The 409 has the code `nothing_to_undo` if the import has written no record, and "
        "`too_late` if its rows are no longer kept.",
        label=_("Undo"),
        bulk_label=_("Undo selected imports"),
        success=_("The undo has started: %(files)s."),
        refusal=_("The import was not undone."),
        confirmation=_(
            "The created records are removed, and the updated records get their previous values "
            "back. Records that were edited or used since then are kept. An undo cannot be stopped."
        ),
    ),
}
# The deletion has a form of its own on the pages, and DELETE in the REST API.
ALL_COMMANDS: dict[Command, JobCommand] = {
    **JOB_COMMANDS,
    Command.DELETE: JobCommand(
        run=lifecycle.delete_contents,
        statuses=frozenset(Status) - {Status.UNDOING},
        is_possible=lifecycle.can_delete_contents,
        summary="Delete the file and the rows of an import",
        label=_("Delete the file and the rows"),
        bulk_label=_("Delete the files and the rows of selected imports"),
        success=_("The file and the rows were deleted: %(files)s."),
        refusal=_("The file and the rows were not deleted."),
        confirmation=_(
            "An import that has not ended is cancelled first. The uploaded file, its rows and "
            "their errors are deleted for good. The import can then be neither undone nor "
            "retried. Imported records, the counts and the history are kept."
        ),
    ),
}
# What the REST API calls actions: the commands, and the change of options by PATCH.
ACTIONS: dict[Command, str] = {
    Command.CHANGE: "Send a PATCH with other options or a column mapping",
    **{name: command.summary for name, command in JOB_COMMANDS.items()},
}
COMMAND_NAMES = [name.value for name in JOB_COMMANDS]
CHANGE_REFUSAL = _("The import was not changed.")
CHANGED_MEANWHILE = _("The status of the import changed at the same time. Try again.")

# What the status is, and what to do instead.
STATUS_REASONS: dict[Status, _StrPromise] = {
    Status.QUEUED: _("It waits for a worker. Wait until its file is checked, or cancel it."),
    Status.CHECKING: _("Its file is still being checked. Wait until this has ended, or cancel it."),
    Status.MAPPING: _("Its columns must be mapped first. Map them, or cancel the import."),
    Status.READY: _("It is checked and waits for its start. Start it, or cancel it."),
    Status.RUNNING: _("It is running already. Pause it or cancel it to stop it."),
    Status.PAUSED: _("It is paused. Resume it to write the remaining rows, or cancel it."),
    Status.COMPLETE: _("It is complete: every row has an outcome."),
    Status.CANCELLED: _("It was cancelled. Upload its file again to import the remaining rows."),
    Status.FAILED: _("It has failed."),
    Status.UNDOING: _("It is being undone. Wait until this has ended."),
    Status.UNDONE: _("It was undone. Upload its file again to import it."),
}
# For a command that was given before, for example by a second click or in another tab.
DONE_ALREADY: dict[tuple[Command, Status], _StrPromise] = {
    (Command.PAUSE, Status.PAUSED): _(
        "The import is paused already. Resume it to write the remaining rows, or cancel it."
    ),
    (Command.CANCEL, Status.CANCELLED): _("The import was cancelled already."),
    (Command.UNDO, Status.UNDOING): _("The import is being undone already."),
    (Command.UNDO, Status.UNDONE): _("The import was undone already."),
}
STARTS_BY_ITSELF = _("Its file is still being checked. It starts by itself.")


def list_actions(job: ImportJob, user: User | None = None) -> list[Command]:
    """Return what can be done with the import now.

    With a user, only what the importer allows the user. Whether the user controls the import is
    another question.
    """
    return [
        name
        for name in ACTIONS
        if is_offered(name, job) and (user is None or is_permitted(user, job, name))
    ]


def is_offered(name: Command, job: ImportJob) -> bool:
    """Whether the command, or the change of options, is possible now."""
    if name == Command.CHANGE:
        return lifecycle.can_change(job)
    return ALL_COMMANDS[name].is_offered(job)


def run_command(name: Command, job_id: UUID, by: Actor) -> ImportJob:
    """Give a command to an import, and return the updated import.

    Raises:
        TransitionNotAllowed: The import does not allow the command now: see `explain_refusals`.
        NotPermitted: The importer does not allow it to the user of `by`.
        ImportJob.DoesNotExist: There is no such import.
    """
    with explain_refusals(name, job_id):
        return ALL_COMMANDS[name].run(job_id, by=by)


@contextmanager
def explain_refusals(name: Command, job_id: UUID) -> Iterator[None]:
    """Complete a TransitionNotAllowed of the block.

    Its text then says in the active language what the status is, and what to do instead. Its
    parameters have the `status` and the possible `actions`.

    Raises:
        TransitionNotAllowed: The block has raised one.
        ImportJob.DoesNotExist: There is no such import any more.
    """
    try:
        yield
    except TransitionNotAllowed as error:
        # The status may have changed again since.
        job = ImportJob.objects.defer(*ImportJob.LARGE_FIELDS).get(pk=job_id)
        raise TransitionNotAllowed(
            _describe_refusal(name, job, error),
            error.code,
            **{**error.params, "status": job.status, "actions": list_actions(job)},
        ) from None


def _describe_refusal(name: Command, job: ImportJob, error: TransitionNotAllowed) -> str:
    if error.code in error_messages.CONFLICT_MESSAGES:
        return error_messages.describe_conflict(error.code, error.params)
    if error.code != NOT_ALLOWED:
        return str(error)
    if is_offered(name, job):
        return str(CHANGED_MEANWHILE)
    if sentence := DONE_ALREADY.get((name, Status(job.status))):
        return str(sentence)
    refusal = CHANGE_REFUSAL if name == Command.CHANGE else ALL_COMMANDS[name].refusal
    return f"{refusal} {_describe_status(name, job)}"


def _describe_status(name: Command, job: ImportJob) -> str:
    status = Status(job.status)
    is_unchecked = status in {Status.QUEUED, Status.CHECKING}
    if name == Command.START and is_unchecked and not job.check_first:
        return str(STARTS_BY_ITSELF)
    if status != Status.FAILED:
        return str(STATUS_REASONS[status])
    reason = error_messages.describe_job_error_with_labels(
        job.importer, job.error_code or "", job.error_params
    )
    return f"{STATUS_REASONS[status]} {reason}"
