"""The life of an import, in one table."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    QUEUED = "QUEUED", _("Waiting for a worker")
    CHECKING = "CHECKING", _("Checking rows")  # Read, cleaned, validated and staged.
    MAPPING = "MAPPING", _("Column mapping needed")  # Someone must say which column is which.
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
    FAILED = "failed", _("Failed")


class OnDuplicate(models.TextChoices):
    """What to do with a row whose customer exists already."""

    SKIP = "skip", _("Skip the row and keep the existing record")
    UPDATE = "update", _("Update the existing record")
    FAIL = "fail", _("Mark the row as failed")


class EmptyCells(models.TextChoices):
    """What an empty cell does to a value that exists already, where a row updates it."""

    KEEP = "keep", _("Keep the existing value")
    CLEAR = "clear", _("Clear the existing value")


class HiddenRows(models.TextChoices):
    """What to do with rows that a workbook hides, as a filter does."""

    IMPORT = "import", _("Import hidden rows")
    SKIP = "skip", _("Do not import hidden rows")


class Success(models.TextChoices):
    """How many rows of an import that has ended were imported."""

    ALL = "all", _("Every row imported")
    SOME = "some", _("Some rows imported")
    NONE = "none", _("Nothing imported")
