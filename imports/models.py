"""The models of the app: imports, their batches, attempts, rows and hooks, and worker processes.

The models of `history`, `idempotency`, `notices`, `saved_mappings`, `storage`, `stream_tickets` and
`token_families` are in the modules of these names.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from imports.conf import app_settings
from imports.history import ImportEvent
from imports.idempotency import IdempotencyKey
from imports.importer import ImportContext
from imports.notices import Notice, WebhookEndpoint
from imports.queue import QueueQuerySet
from imports.saved_mappings import SavedMapping
from imports.statuses import (
    FINAL_STATUSES,
    WAITS_FOR_BY_STATUS,
    EmptyCells,
    Hook,
    OnDuplicate,
    OnMissingColumns,
    Outcome,
    Status,
    Success,
    WaitsFor,
    get_status_label,
    has_only_failed_rows,
)
from imports.storage import DatabaseStorage, StoredChunk, StoredFile
from imports.stream_tickets import TicketStamp
from imports.token_families import TokenFamily
from imports.transitions import TransitionManager, TransitionNotAllowed

__all__ = [
    "HookCall",
    "IdempotencyKey",
    "ImportAttempt",
    "ImportBatch",
    "ImportEvent",
    "ImportJob",
    "ImportRow",
    "Notice",
    "PurgeRun",
    "SavedMapping",
    "StoredChunk",
    "StoredFile",
    "TicketStamp",
    "TokenFamily",
    "TransitionNotAllowed",
    "WebhookEndpoint",
    "Worker",
]


def import_storage() -> Storage:
    """Return the storage of uploaded files: the alias of the setting STORAGE, or the database."""
    alias = app_settings.STORAGE
    return storages[alias] if alias in settings.STORAGES else DatabaseStorage()


class ImportJob(models.Model):
    """An import: one uploaded file on its way into the table of a model.

    The row holds the whole state of the import. Redis and the workers hold nothing that is not
    here.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="imports",
        verbose_name=_("owner"),
    )
    importer = models.CharField(_("importer"), max_length=50)
    on_duplicate = models.CharField(
        _("duplicates"), max_length=6, choices=OnDuplicate, default=OnDuplicate.SKIP
    )
    empty_cells = models.CharField(
        _("empty cells"), max_length=5, choices=EmptyCells, default=EmptyCells.KEEP
    )
    check_first = models.BooleanField(_("check first"), default=False)
    on_missing_columns = models.CharField(
        _("missing columns"), max_length=4, choices=OnMissingColumns, default=OnMissingColumns.ASK
    )

    # How the user wants the file to be read, in place of what would be detected: {"sheet",
    # "encoding", "delimiter", "hidden_rows"}, all of them optional.
    read_options = models.JSONField(_("read options"), default=dict, blank=True)

    # The cleaned values of the importer's upload form, see `imports.upload_options`.
    importer_options = models.JSONField(_("options of the importer"), default=dict, blank=True)

    file = models.FileField(_("file"), storage=import_storage, max_length=300)
    file_name = models.CharField(_("file name"), max_length=255)
    file_size = models.BigIntegerField(_("bytes"))
    file_digest = models.CharField(_("SHA-256"), max_length=64)

    status = models.CharField(_("status"), max_length=9, choices=Status, default=Status.QUEUED)
    error_code = models.CharField(_("error"), max_length=50, null=True)
    error_params = models.JSONField(_("error details"), null=True)
    # Increases with every committed change.
    version = models.IntegerField(_("version"), default=1)
    # Increases when the import is checked again. Within one run, progress never decreases.
    run = models.IntegerField(_("run"), default=1)

    # The values of `Importer.values`, as text that PostgreSQL casts to the type of each field. NULL
    # until the check of the file begins, and for an importer without `values`.
    field_values = models.JSONField(_("values of every row"), null=True)

    # The user's column mapping: the index of each field's column, or null to leave the field out.
    # Before the file is read, it may name a header instead, and need not name each field.
    column_mapping = models.JSONField(_("column mapping"), null=True)
    # Null: detected.
    has_header_row = models.BooleanField(_("has a header row"), null=True)

    # How the file was read: {"format", "sheet", "encoding", "delimiter"}.
    detected_format = models.JSONField(_("detected format"), null=True)
    # Which column of the file fills which field: see pipeline.header_detection.DetectedColumns.
    detected_columns = models.JSONField(_("columns"), null=True)
    # What the user should know about the reading of the file: see pipeline.read_summary.
    read_summary = models.JSONField(_("read summary"), default=list)

    # Increased whenever checking starts again, so that an outdated reader cannot add rows.
    check_generation = models.IntegerField(default=0)
    cursor_row = models.IntegerField(default=0)  # The last row of the file that is staged.
    # Heartbeat of the reading worker. Only an optimisation: correctness depends on `cursor_row`.
    reader_heartbeat_at = models.DateTimeField(null=True)
    # Number of attempts to read the file that ended without releasing the lease.
    reader_crashes = models.IntegerField(default=0)
    # The file is too large to be read beside another file.
    needs_main_reader = models.BooleanField(db_default=False)
    # The next check keeps the rows that are staged and continues after `cursor_row`.
    continues_check = models.BooleanField(db_default=False)
    # How often in succession a statement of the check was ended by its time-out.
    timeouts = models.PositiveSmallIntegerField(db_default=0)
    # The import whose failed rows this import reads again. Other rows of the file are left out. The
    # id stays when that import is deleted: without it, all rows of the file would be read.
    retry_of = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        related_name="retries",
        verbose_name=_("retry of"),
        db_constraint=False,
    )
    # Created to preview a file; such an import is in no list.
    is_preview = models.BooleanField(db_default=False)

    total = models.PositiveIntegerField(_("rows"), null=True)
    checked = models.PositiveIntegerField(_("checked"), default=0)
    processed = models.PositiveIntegerField(_("processed"), default=0)
    created = models.PositiveIntegerField(_("created"), default=0)
    updated = models.PositiveIntegerField(_("updated"), default=0)
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    # What undo did with the records that were created or updated.
    removed = models.PositiveIntegerField(_("removed"), default=0)
    restored = models.PositiveIntegerField(_("restored"), default=0)
    kept = models.PositiveIntegerField(_("kept"), default=0)
    progress_percent = models.PositiveSmallIntegerField(_("progress"), default=0)

    created_at = models.DateTimeField(_("uploaded"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True)
    phase_started_at = models.DateTimeField(auto_now_add=True)
    # Rows that were checked or processed when the phase began.
    phase_rows = models.IntegerField(default=0)
    checked_at = models.DateTimeField(_("check finished"), null=True)
    # Rows that matched an existing record at `checked_at` and will update it.
    to_update = models.PositiveIntegerField(_("to update"), default=0)
    finished_at = models.DateTimeField(_("finished"), null=True)
    # When the owner has last opened the page of the ended import. See `is_unread`.
    seen_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(_("changed"), auto_now_add=True)
    # When the file, the rows and the sample values of the import were deleted, or became so due to
    # be deleted that nobody can read them any more.
    contents_deleted_at = models.DateTimeField(_("file and rows deleted"), null=True)
    # A worker must still delete rows of the import.
    needs_purge = models.BooleanField(db_default=False)

    objects = TransitionManager.from_queryset(QueueQuerySet)()

    # Up to several hundred kilobytes each. Lists of imports defer them.
    LARGE_FIELDS = ("detected_format", "detected_columns", "read_summary")

    class Meta:
        ordering = ("-created_at",)
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        permissions = (
            ("view_all", _("Can view all imports")),
            ("control_all", _("Can start and cancel all imports")),
            ("view_sensitive", _("Can view sensitive columns of all imports")),
        )
        indexes = (
            models.Index(fields=["owner", "-created_at"], name="import_owner_newest"),
            models.Index(fields=["file_digest", "importer"], name="import_same_file"),
            models.Index(
                fields=["owner"],
                name="import_unread",
                condition=Q(finished_at__isnull=False, is_preview=False)
                & (Q(seen_at=None) | Q(seen_at__lt=F("finished_at"))),
            ),
            models.Index(
                fields=["created_at"],
                name="import_unfinished",
                condition=~Q(status__in=sorted(FINAL_STATUSES)),
            ),
            models.Index(
                fields=["finished_at"],
                name="import_with_contents",
                condition=Q(contents_deleted_at=None) | Q(needs_purge=True),
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="import_status_known", condition=Q(status__in=Status.values)
            ),
            models.CheckConstraint(
                name="import_each_row_one_outcome",
                condition=Q(
                    processed=F("created")
                    + F("updated")
                    + F("unchanged")
                    + F("skipped")
                    + F("failed")
                ),
            ),
            models.CheckConstraint(
                name="import_processed_were_checked", condition=Q(processed__lte=F("checked"))
            ),
            models.CheckConstraint(
                name="import_undone_were_written",
                condition=Q(created__gte=F("removed") + F("restored") + F("kept") - F("updated")),
            ),
            models.CheckConstraint(
                name="import_total_is_all_checked",
                condition=Q(total=None) | Q(total=F("checked")),
            ),
            models.CheckConstraint(
                name="import_complete_means_every_row",
                # A check constraint is fulfilled if its condition is NULL.
                condition=~Q(status=Status.COMPLETE) | Q(processed=F("total"), total__isnull=False),
            ),
            models.CheckConstraint(
                name="import_final_means_finished",
                condition=Q(status__in=sorted(FINAL_STATUSES), finished_at__isnull=False)
                | (~Q(status__in=sorted(FINAL_STATUSES)) & Q(finished_at=None)),
            ),
            models.CheckConstraint(
                name="import_deleted_contents_are_final",
                condition=Q(status__in=sorted(FINAL_STATUSES)) | Q(contents_deleted_at=None),
            ),
            models.CheckConstraint(
                name="import_failed_says_why",
                condition=~Q(status=Status.FAILED) | Q(error_code__isnull=False),
            ),
            models.CheckConstraint(
                name="import_whole_means_final",
                condition=Q(progress_percent__lt=100)
                | Q(progress_percent=100, status__in=sorted({*FINAL_STATUSES, Status.UNDOING})),
            ),
        )

    def __str__(self) -> str:
        return self.file_name

    def make_context(self) -> ImportContext:
        """Return what hooks of the importer get. Reads the owner, unless it is loaded."""
        return ImportContext(import_id=self.pk, user=self.owner, options=self.importer_options)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    @property
    def has_contents(self) -> bool:
        """Whether the file and the rows may be read: see `imports.retention`."""
        return self.contents_deleted_at is None

    @property
    def is_unread(self) -> bool:
        """Whether the import has ended since its owner last opened its page."""
        if self.finished_at is None or self.is_preview:
            return False
        return self.seen_at is None or self.seen_at < self.finished_at

    @property
    def success(self) -> Success | None:
        """Whether all, some or none of the rows were imported; None until the import is final.

        A row counts if it was created, updated or found unchanged, and in a completed import if
        it was skipped. An undone import counts as "none".
        """
        if not self.is_final:
            return None
        imported = self.created + self.updated + self.unchanged
        # If an import has not completed, skipped rows do not say that it has succeeded.
        if self.status == Status.COMPLETE:
            imported += self.skipped
        if not imported or self.status == Status.UNDONE:
            return Success.NONE
        return Success.ALL if self.processed == self.total and not self.failed else Success.SOME

    @property
    def written(self) -> int:
        """How many rows have created or updated a record. Undo has an outcome for each of them."""
        return self.created + self.updated

    @property
    def undone(self) -> int:
        """How many of the written rows undo has done with."""
        return self.removed + self.restored + self.kept

    @property
    def waits_for(self) -> WaitsFor | None:
        """What a person must do before the import continues; None if it needs nobody."""
        return WAITS_FOR_BY_STATUS.get(Status(self.status))

    @property
    def has_only_failed_rows(self) -> bool:
        """Whether the import has completed, and every row has failed."""
        return has_only_failed_rows(self.status, self.success)

    @property
    def status_label(self) -> str:
        """The status in the active language, or "Nothing imported" if every row has failed."""
        return get_status_label(self.status, self.success)


def get_import_id(job: ImportJob | uuid.UUID) -> uuid.UUID:
    """Return the id of an import that is given as such or by its id."""
    return job.pk if isinstance(job, ImportJob) else job


class ImportBatch(models.Model):
    """A range of rows that are written in one transaction, exactly once."""

    job = models.ForeignKey(ImportJob, models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField(_("number"))
    first_row = models.PositiveIntegerField(_("first row"))
    last_row = models.PositiveIntegerField(_("last row"))
    # Rows of the range without an outcome when the batch was planned.
    rows = models.PositiveIntegerField(_("rows"))
    # When the message for a worker was sent last.
    enqueued_at = models.DateTimeField(_("enqueued"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    applied_at = models.DateTimeField(_("written"), null=True)
    undone_at = models.DateTimeField(_("undone"), null=True)
    # The worker that has written the batch.
    worker = models.CharField(_("worker"), max_length=100, blank=True)
    # Crashes of the batch that this one was split from.
    crashes = models.PositiveIntegerField(_("crashes"), default=0)
    # How often in succession a statement of the batch was ended by its time-out.
    timeouts = models.PositiveSmallIntegerField(_("time-outs"), db_default=0)

    class Meta:
        ordering = ("number",)
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        constraints = (
            models.UniqueConstraint(fields=["job", "number"], name="batch_number_unique"),
            models.CheckConstraint(
                name="batch_first_to_last", condition=Q(first_row__lte=F("last_row"))
            ),
        )

    def __str__(self) -> str:
        return f"{self.first_row}-{self.last_row}"


class ImportAttempt(models.Model):
    """A worker's attempt to write a batch.

    The row exists while the worker writes. It stays if the worker crashes, and counts as a crash.
    """

    batch = models.ForeignKey(
        ImportBatch, models.CASCADE, related_name="attempts", db_constraint=False
    )
    # The worker's database session: the process id and the start of its backend.
    session = models.CharField(max_length=60)
    worker = models.CharField(_("worker"), max_length=100, blank=True)
    started_at = models.DateTimeField(_("started"))

    class Meta:
        ordering = ("pk",)
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return self.worker


class HookCall(models.Model):
    """A call of a hook of the importer, or of a signal, that is due: see `imports.hooks`.

    It is inserted in the transaction of the change that it follows, and deleted when the call has
    succeeded. So a call is made at least once, whatever crashes.
    """

    job = models.ForeignKey(ImportJob, models.CASCADE, related_name="hook_calls")
    hook = models.CharField(max_length=15, choices=Hook)
    batch_number = models.PositiveIntegerField(null=True)  # For `after_batch`.
    created_at = models.DateTimeField(db_default=Now())
    # When to make the call. It is moved before each attempt, so that other workers make no second
    # call at the same time.
    due_at = models.DateTimeField(db_default=Now(), db_index=True)
    attempts = models.PositiveIntegerField(_("attempts"), db_default=0)
    # The class of the last exception. Its text may quote a record.
    error = models.CharField(_("error"), max_length=100, db_default="")
    # No further attempt is made after this time.
    gave_up_at = models.DateTimeField(_("given up"), null=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.hook} of {self.job_id}"


class ImportRow(models.Model):
    """One staged row of the file.

    This is the largest table, so every byte counts. It has no foreign key in the database, and no
    table refers to it, because foreign keys would double the duration of COPY. Therefore no
    cascade deletes its rows.
    """

    # No fields: `row_results.list_rows` sets these attributes.
    result: str | None
    shown_cells: list[object] | None
    shown_cleaned: list[str | None] | None

    pk = models.CompositePrimaryKey("job_id", "number")
    job = models.ForeignKey(
        ImportJob, models.DO_NOTHING, related_name="rows", db_constraint=False, db_index=False
    )
    # The row's number in the spreadsheet.
    number = models.IntegerField(_("row"))
    # NULL while the row is pending, and also after it was created: the row of a new record has no
    # outcome, so that most batches need not update their staged rows. See `row_results`.
    outcome = models.CharField(_("outcome"), max_length=9, choices=Outcome, null=True)
    # Whether `target_id` is a record that existed already.
    matched = models.BooleanField(_("matches a record"), db_default=False)
    # The primary key of the record that the row creates or has matched.
    target_id = models.TextField(_("record"), null=True)
    cleaned = ArrayField(models.TextField(null=True), verbose_name=_("values"), null=True)
    previous_values = ArrayField(
        models.TextField(null=True), verbose_name=_("previous values"), null=True
    )
    errors = models.JSONField(_("errors"), null=True)
    # Why undo has kept the record: {"code", "params"}. NULL if it was removed or restored.
    kept = models.JSONField(_("kept"), null=True)
    # The cells as read, for rows whose `cleaned` does not hold all of them.
    cells = models.JSONField(_("cells"), null=True)

    class Meta:
        verbose_name = _("row")
        verbose_name_plural = _("rows")
        indexes = (
            # Reports and pages read the rows with an outcome, which are few.
            models.Index(
                fields=["job", "outcome", "number"],
                name="row_exceptions",
                condition=Q(outcome__isnull=False),
            ),
            models.Index(
                fields=["job", "number"], name="row_kept", condition=Q(kept__isnull=False)
            ),
            # For the provenance of a record.
            models.Index(
                fields=["target_id"], name="row_record", condition=Q(target_id__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return str(self.number)


class Worker(models.Model):
    """A worker process that sends heartbeats."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(_("name"), max_length=100)  # host:pid
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), auto_now_add=True)
    threads = models.PositiveSmallIntegerField(_("threads"), default=1)
    # [{"what", "seconds"}], one for each busy thread.
    current_work = models.JSONField(_("current work"), default=list)
    # [{"job", "sqlstate", "seconds"}]: the last step of an import that the database interrupted.
    interruptions = models.JSONField(_("interruptions"), default=list)

    class Meta:
        ordering = ("-heartbeat_at",)
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name


class PurgeRun(models.Model):
    """One run of the deletion of old data: see `imports.purge`. At most one run is unfinished."""

    started_at = models.DateTimeField(_("started"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)
    # Number of turns that workers have begun. The message of a turn holds its number.
    turns = models.PositiveIntegerField(_("turns"), db_default=0)
    # When the message for the next turn was sent last.
    enqueued_at = models.DateTimeField(_("enqueued"), null=True)
    cancelled = models.PositiveIntegerField(_("imports cancelled"), default=0)
    purged = models.PositiveIntegerField(_("imports whose contents were deleted"), default=0)
    deleted = models.PositiveIntegerField(_("imports deleted"), default=0)
    rows = models.PositiveBigIntegerField(_("rows deleted"), default=0)

    class Meta:
        ordering = ("-started_at",)
        verbose_name = _("deletion of old data")
        verbose_name_plural = _("deletions of old data")
        constraints = (
            models.UniqueConstraint(
                models.ExpressionWrapper(Q(finished_at=None), models.BooleanField()),
                name="purge_run_one_unfinished",
                condition=Q(finished_at=None),
            ),
        )

    def __str__(self) -> str:
        return str(self.started_at)
