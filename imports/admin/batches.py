"""Batches in the admin: which rows, when and by which worker, and at which attempt."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from imports import permissions
from imports.admin import timeline
from imports.admin.base import NOTHING, ReadOnly, at, lasted
from imports.models import ImportBatch


class AttemptsFilter(admin.SimpleListFilter):
    """Batches that killed a worker, or are at work just now."""

    title = _("attempts not ended in order")
    parameter_name = "attempts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("some", _("Some")), ("none", _("None"))]

    def queryset(
        self, request: HttpRequest, batches: QuerySet[ImportBatch]
    ) -> QuerySet[ImportBatch]:
        if self.value() in ("some", "none"):
            return batches.filter(is_suspect=self.value() == "some")
        return batches


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnly):
    list_display = (
        *("number", "file", "first_row", "last_row", "rows", "enqueued_at", "started_at"),
        *("applied_at", "took", "attempted", "worker"),
    )
    list_select_related = ("job",)
    list_filter = (("applied_at", admin.EmptyFieldListFilter), AttemptsFilter)
    search_fields = ("job__file_name", "worker")
    ordering = ("-job__created_at", "number")
    fields = (
        *("file", "number", "first_row", "last_row", "rows", "sent", "started", "applied", "took"),
        *("worker", "attempted", "failed_attempts", "crashes"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportBatch]:
        visible = permissions.get_visible_imports(request.user)
        return timeline.with_attempts(super().get_queryset(request).filter(job__in=visible))

    @admin.display(description=_("import"), ordering="job__file_name")
    def file(self, batch: ImportBatch) -> SafeString:
        address = reverse("admin:imports_importjob_change", args=[batch.job_id])
        return format_html('<a href="{}">{}</a>', address, Truncator(batch.job.file_name).chars(60))

    @admin.display(description=_("duration"), ordering="took")
    def took(self, batch: ImportBatch) -> str:
        return lasted(batch.took)

    @admin.display(description=_("attempts"))
    def attempted(self, batch: ImportBatch) -> int:
        return timeline.attempts_at(batch)

    @admin.display(description=_("asked for"))
    def sent(self, batch: ImportBatch) -> str:
        return at(batch.enqueued_at)

    @admin.display(description=_("started"))
    def started(self, batch: ImportBatch) -> str:
        return at(batch.started_at)

    @admin.display(description=_("written"))
    def applied(self, batch: ImportBatch) -> str:
        return at(batch.applied_at)

    @admin.display(description=_("not ended in order"))
    def failed_attempts(self, batch: ImportBatch) -> SafeString | str:
        told = [
            (attempt.worker, at(attempt.started_at), timeline.became_of(attempt))
            for attempt in batch.attempts.all()
        ]
        return format_html_join("", "<div>{}, {}: {}</div>", told) or NOTHING
