"""The life of an import, in one table."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    QUEUED = "QUEUED", _("Waiting for a worker")
    CHECKING = "CHECKING", _("Checking rows")  # Read, cleaned, validated and staged.
    MAPPING = "MAPPING", _("Columns needed")  # Someone must say which column is which.
    READY = "READY", _("Ready to start")  # Checked, nothing written.
    RUNNING = "RUNNING", _("Importing")  # Written batch by batch.
    PAUSED = "PAUSED", _("Paused")  # Batches already written stay written.
    COMPLETE = "COMPLETE", _("Complete")  # Every row has an outcome.
    CANCELLED = "CANCELLED", _("Cancelled")  # Batches already written stay written.
    FAILED = "FAILED", _("Failed")  # It could not go on; error_code says why.
    UNDOING = "UNDOING", _("Undoing")  # Not cancellable.
    UNDONE = "UNDONE", _("Undone")  # Rows edited or used since are kept and listed.


_S = Status
ALLOWED_TRANSITIONS: dict[Status, set[Status]] = {
    _S.QUEUED: {_S.CHECKING, _S.CANCELLED, _S.FAILED},
    _S.CHECKING: {_S.QUEUED, _S.MAPPING, _S.READY, _S.RUNNING, _S.CANCELLED, _S.FAILED},
    _S.MAPPING: {_S.QUEUED, _S.CANCELLED},
    _S.READY: {_S.RUNNING, _S.QUEUED, _S.CANCELLED},
    _S.RUNNING: {_S.PAUSED, _S.COMPLETE, _S.CANCELLED, _S.FAILED},
    _S.PAUSED: {_S.RUNNING, _S.CANCELLED},
    _S.COMPLETE: {_S.UNDOING},
    _S.CANCELLED: {_S.UNDOING},
    _S.FAILED: {_S.UNDOING, _S.QUEUED, _S.RUNNING},  # The last two are a retry.
    _S.UNDOING: {_S.UNDONE, _S.FAILED},
    _S.UNDONE: set(),
}

# A worker makes progress in these.
ACTIVE_STATUSES = frozenset({_S.CHECKING, _S.RUNNING, _S.UNDOING})

# Nothing more happens by itself: streams end here, and finished_at is set.
FINAL_STATUSES = frozenset({_S.COMPLETE, _S.CANCELLED, _S.FAILED, _S.UNDONE})

# How much of `progress_percent` each phase is. The last percent is added when an import is final.
CHECKING_PERCENT = 33
APPLYING_PERCENT = 66


def get_source_statuses(target: Status) -> list[Status]:
    """The statuses from which an import may move to `target`."""
    return [status for status, targets in ALLOWED_TRANSITIONS.items() if target in targets]


class Outcome(models.TextChoices):
    """What became of one row."""

    CREATED = "created", _("Created")
    UPDATED = "updated", _("Updated")
    UNCHANGED = "unchanged", _("Unchanged")
    SKIPPED = "skipped", _("Skipped")  # It exists already, and the policy is to skip.
    FAILED = "failed", _("Refused")


class OnDuplicate(models.TextChoices):
    """What to do with a row whose customer exists already."""

    SKIP = "skip", _("Skip it, and leave what exists as it is")
    UPDATE = "update", _("Update what exists with the row")
    FAIL = "fail", _("Refuse the row")


class EmptyCells(models.TextChoices):
    """What an empty cell does to a value that exists already, where a row updates it."""

    KEEP = "keep", _("Leave the old value")
    CLEAR = "clear", _("Remove the old value")


class HiddenRows(models.TextChoices):
    """What to do with rows that a workbook hides, as a filter does."""

    IMPORT = "import", _("Import them like the others")
    SKIP = "skip", _("Leave them out")


class Success(models.TextChoices):
    """How many rows of an import that has ended were imported."""

    ALL = "all", _("Every row imported")
    SOME = "some", _("Some rows imported")
    NONE = "none", _("Nothing imported")
