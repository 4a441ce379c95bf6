"""Batches in the admin: their rows, times, workers and attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from imports import permissions
from imports.admin import timeline
from imports.admin.base import NO_VALUE, ReadOnlyAdmin, format_duration, format_time
from imports.models import ImportBatch

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class AttemptsFilter(admin.SimpleListFilter):
    """Batches with attempts that failed or are running."""

    title = _("failed or running attempts")
    parameter_name = "attempts"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[ImportBatch]
    ) -> list[tuple[str, _StrPromise]]:
        return [("some", _("Some")), ("none", _("None"))]

    def queryset(
        self, request: HttpRequest, batches: QuerySet[timeline.AnnotatedBatch]
    ) -> QuerySet[timeline.AnnotatedBatch]:
        if self.value() in ("some", "none"):
            return batches.filter(has_attempts=self.value() == "some")
        return batches


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnlyAdmin[ImportBatch]):
    list_display = (
        "number",
        "file",
        "first_row",
        "last_row",
        "rows",
        "enqueued_at",
        "started_at",
        "applied_at",
        "duration",
        "attempt_count",
        "worker",
    )
    list_select_related = ("job",)
    list_filter = (("applied_at", admin.EmptyFieldListFilter), AttemptsFilter)
    linked_fields = ("job",)
    search_fields = ("job__file_name", "worker")
    ordering = ("-job__created_at", "number")
    fields = (
        "file",
        "number",
        "first_row",
        "last_row",
        "rows",
        "enqueued",
        "started",
        "applied",
        "duration",
        "worker",
        "attempt_count",
        "open_attempts",
        "crashes",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportBatch]:
        visible = permissions.get_listed_imports(request.user)
        return timeline.annotate_attempts(super().get_queryset(request).filter(job__in=visible))

    @admin.display(description=_("import"), ordering="job__file_name")
    def file(self, batch: ImportBatch) -> SafeString:
        url = self.reverse("imports_importjob_change", batch.job_id)
        return format_html('<a href="{}">{}</a>', url, Truncator(batch.job.file_name).chars(60))

    @admin.display(description=_("duration"), ordering="duration")
    def duration(self, batch: timeline.AnnotatedBatch) -> str:
        return format_duration(batch.duration)

    @admin.display(description=_("attempts"))
    def attempt_count(self, batch: ImportBatch) -> int:
        return timeline.count_attempts(batch)

    @admin.display(description=_("enqueued"))
    def enqueued(self, batch: ImportBatch) -> str:
        return format_time(batch.enqueued_at)

    @admin.display(description=_("started"))
    def started(self, batch: ImportBatch) -> str:
        return format_time(batch.started_at)

    @admin.display(description=_("written"))
    def applied(self, batch: ImportBatch) -> str:
        return format_time(batch.applied_at)

    @admin.display(description=_("failed or running attempts"))
    def open_attempts(self, batch: ImportBatch) -> SafeString | str:
        attempts = [
            (attempt.worker, format_time(attempt.started_at), timeline.describe_attempt(attempt))
            for attempt in timeline.list_attempts(batch)
        ]
        return format_html_join("", "<div>{}, {}: {}</div>", attempts) or NO_VALUE
