"""What an import is: its job, its batches, its rows, the bytes it came from, and the workers."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from imports.idempotency import IdempotencyKey
from imports.queue import QueueQuerySet
from imports.saved_mappings import SavedMapping
from imports.statuses import FINAL_STATUSES, EmptyCells, OnDuplicate, Outcome, Status, Success
from imports.storage import StoredChunk, StoredFile
from imports.transitions import TransitionManager, TransitionNotAllowed

__all__ = [
    "IdempotencyKey",
    "ImportAttempt",
    "ImportBatch",
    "ImportJob",
    "ImportRow",
    "SavedMapping",
    "StoredChunk",
    "StoredFile",
    "TransitionNotAllowed",
    "Worker",
]


def import_storage() -> Storage:
    return storages["imports"]


class ImportJob(models.Model):
    """One uploaded file on its way to records. Whatever is true of it is written here."""

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

    # What someone says about the file, over what would be guessed: {"sheet", "encoding",
    # "delimiter", "hidden_rows"}, each of which may be missing.
    read_options = models.JSONField(_("read options"), default=dict, blank=True)

    file = models.FileField(_("file"), storage=import_storage, max_length=300)
    file_name = models.CharField(_("file name"), max_length=255)
    file_size = models.BigIntegerField(_("bytes"))
    file_digest = models.CharField(_("SHA-256"), max_length=64)

    status = models.CharField(_("status"), max_length=9, choices=Status, default=Status.QUEUED)
    error_code = models.CharField(_("error"), max_length=50, null=True)
    error_params = models.JSONField(_("error details"), null=True)
    version = models.IntegerField(_("version"), default=1)  # Rises with every committed change.
    run = models.IntegerField(_("run"), default=1)  # Progress never goes back within one.

    # A person's word on the columns: each field's index, or null to leave the field out.
    column_mapping = models.JSONField(_("column mapping"), null=True)
    has_header_row = models.BooleanField(_("may have a header row"), default=True)

    # How the file was read: {"format", "sheet", "encoding", "delimiter"}, and which of its
    # columns is which: see pipeline.columns.DetectedColumns.
    detected_format = models.JSONField(_("detected format"), null=True)
    detected_columns = models.JSONField(_("columns"), null=True)
    # What the user should know of how it was read: see pipeline.read_summary.
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

    total = models.PositiveIntegerField(_("rows"), null=True)
    checked = models.PositiveIntegerField(_("checked"), default=0)
    processed = models.PositiveIntegerField(_("processed"), default=0)
    created = models.PositiveIntegerField(_("created"), default=0)
    updated = models.PositiveIntegerField(_("updated"), default=0)
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    progress_percent = models.PositiveSmallIntegerField(_("progress"), default=0)

    created_at = models.DateTimeField(_("uploaded"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True)
    phase_started_at = models.DateTimeField(auto_now_add=True)
    phase_rows = models.IntegerField(default=0)  # Done when the phase began.
    checked_at = models.DateTimeField(_("check finished"), null=True)
    to_update = models.PositiveIntegerField(_("to update"), default=0)  # As judged then.
    finished_at = models.DateTimeField(_("finished"), null=True)
    updated_at = models.DateTimeField(_("changed"), auto_now_add=True)

    objects = TransitionManager.from_queryset(QueueQuerySet)()

    # Up to some hundred kilobytes each. No list of imports needs them.
    LARGE_FIELDS = ("detected_format", "detected_columns", "read_summary")

    class Meta:
        ordering = ("-created_at",)
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        permissions = (
            ("view_all", _("Can view all imports")),
            ("control_all", _("Can start and cancel all imports")),
        )
        indexes = (
            models.Index(fields=["owner", "-created_at"], name="import_owner_newest"),
            models.Index(fields=["file_digest", "importer"], name="import_same_file"),
            models.Index(
                fields=["created_at"],
                name="import_unfinished",
                condition=~Q(status__in=sorted(FINAL_STATUSES)),
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
                name="import_total_is_all_checked",
                condition=Q(total=None) | Q(total=F("checked")),
            ),
            models.CheckConstraint(
                name="import_complete_means_every_row",
                # A condition that is NULL would be held to be met.
                condition=~Q(status=Status.COMPLETE) | Q(processed=F("total"), total__isnull=False),
            ),
            models.CheckConstraint(
                name="import_final_means_finished",
                condition=Q(status__in=sorted(FINAL_STATUSES), finished_at__isnull=False)
                | (~Q(status__in=sorted(FINAL_STATUSES)) & Q(finished_at=None)),
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

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    @property
    def success(self) -> Success | None:
        """Whether all, some or none of the rows were imported; None until the import is final.

        A row counts if it was created, updated or found unchanged, and in a completed import if
        it was skipped. An undone import counts as "none".
        """
        if not self.is_final:
            return None
        imported = self.created + self.updated + self.unchanged
        if self.status == Status.COMPLETE:
            imported += self.skipped  # In any other import, nothing was decided by skipping.
        if not imported or self.status == Status.UNDONE:
            return Success.NONE
        return Success.ALL if self.processed == self.total and not self.failed else Success.SOME

    @property
    def has_only_failed_rows(self) -> bool:
        """Whether it has completed, and every row has failed."""
        return self.status == Status.COMPLETE and self.success == Success.NONE

    @property
    def status_label(self) -> str:
        """The status in the reader's language; "Nothing imported" where every row has failed."""
        return str(Success.NONE.label) if self.has_only_failed_rows else self.get_status_display()


class ImportBatch(models.Model):
    """Rows that are written together, in one transaction, exactly once."""

    job = models.ForeignKey(ImportJob, models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField(_("number"))
    first_row = models.PositiveIntegerField(_("first row"))
    last_row = models.PositiveIntegerField(_("last row"))
    rows = models.PositiveIntegerField(_("rows"))  # That had no outcome when it was planned.
    enqueued_at = models.DateTimeField(_("enqueued"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    applied_at = models.DateTimeField(_("written"), null=True)
    after_batch_at = models.DateTimeField(_("follow-up done"), null=True)  # after_batch has run.
    worker = models.CharField(_("worker"), max_length=100, blank=True)  # That has written it.
    crashes = models.PositiveIntegerField(_("crashes"), default=0)  # Of the batch it was cut from.

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
        indexes = (
            models.Index(
                fields=["applied_at"], name="batch_to_announce", condition=Q(after_batch_at=None)
            ),
        )

    def __str__(self) -> str:
        return f"{self.first_row}-{self.last_row}"


class ImportAttempt(models.Model):
    """A worker's attempt at a batch: there while it works, and for good if it was killed."""

    batch = models.ForeignKey(
        ImportBatch, models.CASCADE, related_name="attempts", db_constraint=False
    )
    session = models.CharField(max_length=60)  # Of the database: its process and its beginning.
    worker = models.CharField(_("worker"), max_length=100, blank=True)
    started_at = models.DateTimeField(_("started"))

    class Meta:
        ordering = ("pk",)
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return self.worker


class ImportRow(models.Model):
    """One row of the file, staged. The largest table: every byte here counts.

    No foreign key in the database, to it or from it: that would double the time COPY takes.
    Nothing deletes them by cascade.
    """

    pk = models.CompositePrimaryKey("job_id", "number")
    job = models.ForeignKey(
        ImportJob, models.DO_NOTHING, related_name="rows", db_constraint=False, db_index=False
    )
    number = models.IntegerField(_("row"))  # The spreadsheet's own.
    # Only where it differs from the batch's: no mark on rows that go well.
    outcome = models.CharField(_("outcome"), max_length=9, choices=Outcome, null=True)
    matched = models.BooleanField(
        _("matches a record"), db_default=False
    )  # target_id exists already.
    target_id = models.TextField(_("record"), null=True)  # The key it gets, or the one it matched.
    cleaned = ArrayField(models.TextField(null=True), verbose_name=_("values"), null=True)
    previous_values = ArrayField(
        models.TextField(null=True), verbose_name=_("previous values"), null=True
    )
    errors = models.JSONField(_("errors"), null=True)
    cells = models.JSONField(_("cells"), null=True)  # As read, where `cleaned` says less.

    class Meta:
        verbose_name = _("row")
        verbose_name_plural = _("rows")
        indexes = (
            # Reports and pages ask for what went wrong, which is little of a large table.
            models.Index(
                fields=["job", "outcome", "number"],
                name="row_exceptions",
                condition=Q(outcome__isnull=False),
            ),
            # Which row a record came from. Refused rows have none.
            models.Index(
                fields=["target_id"], name="row_record", condition=Q(target_id__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return str(self.number)


class Worker(models.Model):
    """A worker process, for as long as it keeps saying so."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(_("name"), max_length=100)  # host:pid
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), auto_now_add=True)
    # [{"what", "seconds"}], one for each busy thread.
    current_work = models.JSONField(_("current work"), default=list)

    class Meta:
        ordering = ("-heartbeat_at",)
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name
