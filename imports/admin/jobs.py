"""Imports in the admin: the list of them, and of each what happened, why and when."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from imports import error_messages, permissions
from imports.admin import actions, rows, timeline
from imports.admin.base import NOTHING, ReadOnly, counted, lasted, rate
from imports.importer import get_importer_or_placeholder, is_registered
from imports.models import ImportBatch, ImportJob
from imports.statuses import Outcome, Status

MAX_LISTED = 10  # Sheets, or hidden columns.


class RefusedFilter(admin.SimpleListFilter):
    """Imports that somebody must look at."""

    title = _("rows refused")
    parameter_name = "refused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("some", _("Some")), ("none", _("None"))]

    def queryset(self, request: HttpRequest, jobs: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
        if self.value() == "some":
            return jobs.filter(failed__gt=0)
        return jobs.filter(failed=0) if self.value() == "none" else jobs


@admin.register(ImportJob)
class ImportJobAdmin(ReadOnly):
    list_display = (
        *("file_name", "created_at", "state", "counts", "owner", "progress", "duration", "speed"),
    )
    list_filter = ("status", RefusedFilter, "importer", "on_duplicate", "check_first")
    list_select_related = ("owner",)
    list_per_page = 50
    date_hierarchy = "created_at"
    search_fields = ("file_name", "owner__username")
    search_help_text = _("Part of a file's name or of its owner's, or an import's whole id.")
    actions = ("start", "cancel")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("state", "owner", "file_shown", "progress", "counts", "duration", "speed"),
                    *("importer", "on_duplicate"),
                )
            },
        ),
        (
            _("Details"),
            {
                "classes": ("collapse",),
                "fields": (
                    *("id", "file_digest", "empty_cells", "check_first", "read_options"),
                    *("read_as", "headers", "column_mapping", "error_code", "error_params"),
                    *("total", "checked", "processed", "version", "run", "reader_crashes"),
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportJob]:
        begun = ImportBatch.objects.filter(job=OuterRef("pk"), started_at__isnull=False)
        began = Subquery(begun.order_by("number").values("started_at")[:1])
        visible = permissions.get_visible_imports(request.user).annotate(writing_began=began)
        visible = visible.defer(*ImportJob.LARGE_FIELDS)  # A page of one import loads them.
        return visible.order_by("-created_at", "-pk")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ImportJob], search_term: str
    ) -> tuple[QuerySet[ImportJob], bool]:
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            return super().get_search_results(request, queryset, search_term)

    # --- Columns -------------------------------------------------------------

    @admin.display(description=_("status"), ordering="status")
    def state(self, job: ImportJob) -> str:
        if job.has_only_failed_rows:
            markup = '<b class="nothing">✕ {}</b> <span class="reason">{}</span>'
            return format_html(markup, job.status_label, error_messages.NOTHING_IMPORTED)
        if not job.error_code:
            return job.get_status_display()
        reason = error_messages.describe_job_error_with_labels(
            job.importer, job.error_code, job.error_params
        )
        label = job.get_status_display()
        return format_html('<b>{}</b> <span class="reason">{}</span>', label, reason)

    @admin.display(description=_("progress"), ordering="progress_percent")
    def progress(self, job: ImportJob) -> str:
        bar = '<progress max="100" value="{0}" aria-label="{1}"></progress> <span>{0} %</span>'
        return format_html(bar, job.progress_percent, _("progress"))

    @admin.display(description=_("rows"), ordering="total")
    def counts(self, job: ImportJob) -> str:
        shown = [
            counted(outcome, count) for outcome in Outcome if (count := getattr(job, outcome.value))
        ]
        if job.total is not None and (left := job.total - job.processed):
            shown.append(counted("left" if job.is_final else "coming", left))
        return ", ".join(shown) or NOTHING

    @admin.display(description=_("duration"))
    def duration(self, job: ImportJob) -> str:
        return lasted(timeline.worked(job))

    @admin.display(description=_("rows/s"))
    def speed(self, job: ImportJob) -> str:
        if job.run > 1:
            return NOTHING  # Checked anew, it waited for a person in between.
        is_written = job.writing_began or job.status == Status.COMPLETE
        return rate(job.processed if is_written else job.checked, timeline.worked(job))

    @admin.display(description=_("file"))
    def file_shown(self, job: ImportJob) -> str:
        opened = job.detected_format or {}
        how = [opened.get(name) for name in ("format", "sheet", "encoding")]
        told = [filesizeformat(job.file_size), *(str(one) for one in how if one)]
        return f"{job.file_name} ({', '.join(told)})"

    @admin.display(description=_("read as"))
    def read_as(self, job: ImportJob) -> str:
        """What was found out of the file; of a long list only its beginning."""
        shown = [
            f"{name}: {beginning_of(value)}" for name, value in (job.detected_format or {}).items()
        ]
        return ", ".join(shown) or NOTHING

    @admin.display(description=_("columns"))
    def headers(self, job: ImportJob) -> str:
        """Which column of the file is which. Without samples of its values."""
        layout, importer = job.detected_columns or {}, get_importer_or_placeholder(job.importer)
        headers = dict(enumerate(layout.get("headers", [])))
        return ", ".join(
            f"{rows.name_of(importer, field)} ← {headers.get(index) or index + 1}"
            for field, index in layout.get("positions", {}).items()
        )

    # --- Pages ---------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        view, name = self.admin_site.admin_view, "imports_importjob"
        moves = [
            path(
                f"<uuid:pk>/{move}/",
                view(require_POST(partial(self.move_view, move=move))),
                name=f"{name}_{move}",
            )
            for move in actions.MOVES
        ]
        own = path("<uuid:pk>/rows/", view(self.rows_view), name=f"{name}_rows")
        return [own, *moves, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        shown = {} if job is None else self.what_happened(request, job)
        return super().change_view(request, object_id, form_url, (extra_context or {}) | shown)

    def what_happened(self, request: HttpRequest, job: ImportJob) -> dict[str, Any]:
        batches = reverse("admin:imports_importbatch_changelist")
        return {
            "job": job,
            "offered": actions.offered(job, request.user),
            "rows_address": rows.address(job),
            "batches_address": f"{batches}?job__id__exact={job.pk}",
            "records_address": records_address(job),
            "read_notes": error_messages.describe_read_summary(job.read_summary, job.importer),
            **timeline.timeline_of(job),
            **rows.problems_shown(job),
        }

    def rows_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self.visible_or_404(request, pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Rows"),
            "subtitle": job.file_name,
            "opts": self.opts,
            "media": self.media,
            "job": job,
            **rows.rows_shown(job, request.GET, self.link_to_records(request, job)),
        }
        return TemplateResponse(request, "admin/imports/importjob/rows.html", context)

    def move_view(self, request: HttpRequest, pk: UUID, move: str) -> HttpResponse:
        job = self.visible_or_404(request, pk)
        actions.move_each(self, request, ImportJob.objects.filter(pk=job.pk), move)
        return redirect("admin:imports_importjob_change", job.pk)

    def visible_or_404(self, request: HttpRequest, pk: UUID) -> ImportJob:
        job = self.get_object(request, str(pk))
        if job is None or not self.has_view_permission(request, job):
            raise Http404
        return job

    def link_to_records(self, request: HttpRequest, job: ImportJob) -> rows.LinkTo:
        """The way to a record's own page here, for who may see records."""
        model = (
            get_importer_or_placeholder(job.importer).model if is_registered(job.importer) else None
        )
        if model is None or not self.admin_site.is_registered(model):
            return lambda key: ""
        if not self.admin_site.get_model_admin(model).has_view_permission(request):
            return lambda key: ""
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        return lambda key: reverse(name, args=[key])

    # --- Actions -------------------------------------------------------------

    def has_control_permission(self, request: HttpRequest) -> bool:
        return permissions.get_controllable_imports(request.user).exists()

    @admin.action(description=_("Start selected imports"), permissions=["control"])
    def start(self, request: HttpRequest, chosen: QuerySet[ImportJob]) -> None:
        actions.move_each(self, request, chosen, "start")

    @admin.action(description=_("Cancel selected imports"), permissions=["control"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[ImportJob]) -> None:
        actions.move_each(self, request, chosen, "cancel")


def beginning_of(value: Any) -> str:
    if not isinstance(value, list):
        return NOTHING if value in (None, "") else str(value)
    more = f" (+{len(value) - MAX_LISTED})" if len(value) > MAX_LISTED else ""
    return " / ".join(map(str, value[:MAX_LISTED])) + more if value else NOTHING


def records_address(job: ImportJob) -> str:
    """The page that lists what the import has written, if there is one."""
    page = get_importer_or_placeholder(job.importer).page
    return f"{reverse(page)}?import={job.pk}" if page and job.created + job.updated else ""
