"""The statuses of an import, the outcomes of a row, and the choices of an import's options."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    """The status of an import. ALLOWED_TRANSITIONS says how it may change."""

    # The file waits for a worker.
    QUEUED = "QUEUED", _("Waiting for a worker")
    # A worker reads, cleans, validates and stages the rows. If it crashes, another worker
    # continues.
    CHECKING = "CHECKING", _("Checking rows")
    # Required columns were not found. A person must choose them.
    MAPPING = "MAPPING", _("Column mapping needed")
    # The file is checked, and nothing is written. A person must start the import.
    READY = "READY", _("Ready to start")
    # Workers write the staged rows batch by batch.
    RUNNING = "RUNNING", _("Importing")
    # No further batch is written. Batches that were written stay written.
    PAUSED = "PAUSED", _("Paused")
    # Every row has an outcome.
    COMPLETE = "COMPLETE", _("Complete")
    # Stopped by a person. Batches that were written stay written.
    CANCELLED = "CANCELLED", _("Cancelled")
    # Stopped by an error, which is in `ImportJob.error_code`.
    FAILED = "FAILED", _("Failed")
    # What the import has written is being removed. Cannot be cancelled.
    UNDOING = "UNDOING", _("Undoing")
    # Removed, except for records that were edited or used since.
    UNDONE = "UNDONE", _("Undone")


ALLOWED_TRANSITIONS: dict[Status, set[Status]] = {
    Status.QUEUED: {
        Status.CHECKING,
        Status.CANCELLED,
        Status.FAILED,
    },
    Status.CHECKING: {
        Status.QUEUED,
        Status.MAPPING,
        Status.READY,
        Status.RUNNING,
        Status.CANCELLED,
        Status.FAILED,
    },
    Status.MAPPING: {
        Status.QUEUED,
        Status.CANCELLED,
    },
    Status.READY: {
        Status.RUNNING,
        Status.QUEUED,
        Status.CANCELLED,
    },
    Status.RUNNING: {
        Status.PAUSED,
        Status.COMPLETE,
        Status.CANCELLED,
        Status.FAILED,
    },
    Status.PAUSED: {
        Status.RUNNING,
        Status.CANCELLED,
    },
    Status.COMPLETE: {
        Status.UNDOING,
    },
    Status.CANCELLED: {
        Status.UNDOING,
    },
    Status.FAILED: {
        Status.UNDOING,
        # A retry of the check, or of writing.
        Status.QUEUED,
        Status.RUNNING,
    },
    Status.UNDOING: {
        Status.UNDONE,
        Status.FAILED,
    },
    Status.UNDONE: set(),
}

# A worker makes progress in these statuses.
ACTIVE_STATUSES = frozenset({Status.CHECKING, Status.RUNNING, Status.UNDOING})

# The import has ended: `finished_at` is set, and streams end.
FINAL_STATUSES = frozenset({Status.COMPLETE, Status.CANCELLED, Status.FAILED, Status.UNDONE})

# The statuses after which `after_import` and `import_finished` are called. They may be left again.
ENDED_STATUSES = frozenset({Status.COMPLETE, Status.CANCELLED, Status.FAILED})

# The share of `progress_percent` of each phase. The last percent is added when an import is final.
CHECKING_PERCENT = 33
APPLYING_PERCENT = 66


def get_source_statuses(target: Status) -> list[Status]:
    """Return the statuses from which an import may change to `target`."""
    return [status for status, targets in ALLOWED_TRANSITIONS.items() if target in targets]


class Outcome(models.TextChoices):
    """What became of one row."""

    CREATED = "created", _("Created")
    UPDATED = "updated", _("Updated")
    UNCHANGED = "unchanged", _("Unchanged")
    # The record exists already, and the duplicate policy is "skip".
    SKIPPED = "skipped", _("Skipped")
    FAILED = "failed", _("Failed")


class OnDuplicate(models.TextChoices):
    """The duplicate policy: what to do with a row whose record exists already."""

    SKIP = "skip", _("Skip the row and keep the existing record")
    UPDATE = "update", _("Update the existing record")
    FAIL = "fail", _("Mark the row as failed")


class EmptyCells(models.TextChoices):
    """What an empty cell of a row that updates a record does to the old value."""

    KEEP = "keep", _("Keep the existing value")
    CLEAR = "clear", _("Clear the existing value")


class HiddenRows(models.TextChoices):
    """What to do with the rows that are hidden in a workbook, for example by a filter."""

    IMPORT = "import", _("Import hidden rows")
    SKIP = "skip", _("Do not import hidden rows")


class Success(models.TextChoices):
    """How many rows of an ended import were imported: see `ImportJob.success`."""

    ALL = "all", _("Every row imported")
    SOME = "some", _("Some rows imported")
    NONE = "none", _("Nothing imported")


class Hook(models.TextChoices):
    """What is called at a point in the life of an import: see `imports.hooks`."""

    IMPORT_STARTED = "import_started", "import_started"
    AFTER_BATCH = "after_batch", "after_batch"
    AFTER_IMPORT = "after_import", "after_import"
    IMPORT_FINISHED = "import_finished", "import_finished"
    IMPORT_UNDONE = "import_undone", "import_undone"


class WaitsFor(models.TextChoices):
    """What a person must do before an import continues: see `ImportJob.waits_for`."""

    COLUMN_MAPPING = "column_mapping", _("Choose the columns")
    START = "start", _("Start the import")


class StalledReason(models.TextChoices):
    """Why an import that needs a worker makes no progress: see `imports.worker_status`."""

    NO_WORKER = "no_worker", _("No worker is running")
    WORKERS_BUSY = "workers_busy", _("All workers are busy")
    REPEATED_CRASHES = "repeated_crashes", _("A worker has crashed")
    WAITING_FOR_LOCK = "waiting_for_lock", _("Waiting for a lock of the database")
    DATABASE_SLOW = "database_slow", _("The database is slow or not available")
    REDIS_UNAVAILABLE = "redis_unavailable", _("Redis cannot be reached")
    UNKNOWN = "unknown", _("Not known")


class OnMissingColumns(models.TextChoices):
    """What becomes of a file whose required columns are not recognised."""

    ASK = "ask", _("Wait for a person to choose them")
    FAIL = "fail", _("Let the import fail")


WAITS_FOR_BY_STATUS = {Status.MAPPING: WaitsFor.COLUMN_MAPPING, Status.READY: WaitsFor.START}

# The encodings and delimiters that are offered. Others may be named too.
ENCODING_LABELS = {
    "utf-8": _("Unicode (UTF-8)"),
    "utf-16": _("Unicode (UTF-16)"),
    "windows-1252": _("Western European (Windows)"),
    "mac-roman": _("Western European (Mac)"),
    "cp850": _("Western European (DOS)"),
    "windows-1250": _("Central European (Windows)"),
    "windows-1251": _("Cyrillic (Windows)"),
    "windows-1253": _("Greek (Windows)"),
    "windows-1254": _("Turkish (Windows)"),
    "windows-1256": _("Arabic (Windows)"),
    "gb18030": _("Chinese (GB 18030)"),
}
DELIMITER_LABELS = {",": _("Comma"), ";": _("Semicolon"), "\t": _("Tab"), "|": _("Vertical bar")}


def has_only_failed_rows(status: str, success: str | None) -> bool:
    """Whether an import has completed, and every row has failed: see `ImportJob.success`."""
    return status == Status.COMPLETE and success == Success.NONE


def get_status_label(status: str, success: str | None) -> str:
    """Return the status in the active language, or "Nothing imported" if every row has failed."""
    shown = Success.NONE if has_only_failed_rows(status, success) else Status(status)
    return str(shown.label)
