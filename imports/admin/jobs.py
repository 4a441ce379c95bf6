"""Imports in the admin: their list, and the page of one import with what happened and when."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from imports import error_messages, hooks, permissions
from imports.actors import enqueue_hooks
from imports.admin import actions, rows, timeline
from imports.admin.base import (
    NO_VALUE,
    ReadOnlyAdmin,
    format_count,
    format_duration,
    format_rate,
    warn_without_worker,
)
from imports.error_messages import get_field_label
from imports.history import Command
from imports.importer import get_importer_or_placeholder, is_registered
from imports.job_commands import ALL_COMMANDS
from imports.models import ImportBatch, ImportJob
from imports.statuses import Outcome, Status
from imports.upload_options import describe_options
from imports.worker_status import find_stalled_reason

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    BulkAction = Callable[[admin.ModelAdmin[ImportJob], HttpRequest, QuerySet[ImportJob]], None]

MAX_LIST_ITEMS = 10  # Of a detected value that is a list, such as sheets or hidden columns.


class FailedRowsFilter(admin.SimpleListFilter):
    """Imports with failed rows, or without."""

    title = _("failed rows")
    parameter_name = "failed"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[ImportJob]
    ) -> list[tuple[str, _StrPromise]]:
        return [("some", _("Some")), ("none", _("None"))]

    def queryset(self, request: HttpRequest, jobs: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
        if self.value() == "some":
            return jobs.filter(failed__gt=0)
        return jobs.filter(failed=0) if self.value() == "none" else jobs


def _make_bulk_action(name: Command) -> BulkAction:
    """Return the action of the list that gives a command to the selected imports."""

    @admin.action(description=ALL_COMMANDS[name].bulk_label, permissions=["control"])
    def run(
        model_admin: admin.ModelAdmin[ImportJob],
        request: HttpRequest,
        selected: QuerySet[ImportJob],
    ) -> None:
        actions.run_action(model_admin, request, selected, name)

    run.__name__ = name.value
    return run


@admin.register(ImportJob)
class ImportJobAdmin(ReadOnlyAdmin[ImportJob]):
    list_display = (
        "file_name",
        "created_at",
        "state",
        "counts",
        "owner",
        "progress",
        "duration",
        "speed",
    )
    list_filter = ("status", FailedRowsFilter, "importer", "on_duplicate", "check_first")
    list_select_related = ("owner",)
    list_per_page = 50
    date_hierarchy = "created_at"
    search_fields = ("file_name", f"owner__{get_user_model().USERNAME_FIELD}")
    search_help_text = _(
        "Search by part of the file name, part of the owner's name, or the full import ID."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "state",
                    "owner",
                    "file_details",
                    "progress",
                    "counts",
                    "duration",
                    "speed",
                    "importer",
                    "on_duplicate",
                )
            },
        ),
        (
            _("Details"),
            {
                "classes": ("collapse",),
                "fields": (
                    "id",
                    "file_digest",
                    "empty_cells",
                    "check_first",
                    "read_options",
                    "upload_options",
                    "detected_format_details",
                    "headers",
                    "column_mapping",
                    "error_code",
                    "error_params",
                    "total",
                    "checked",
                    "processed",
                    "version",
                    "run",
                    "reader_crashes",
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportJob]:
        started_batches = ImportBatch.objects.filter(job=OuterRef("pk"), started_at__isnull=False)
        started_at = Subquery(started_batches.order_by("number").values("started_at")[:1])
        visible = permissions.get_listed_imports(request.user).annotate(
            writing_started_at=started_at
        )
        visible = visible.defer(*ImportJob.LARGE_FIELDS)  # Only the page of one import loads them.
        return visible.order_by("-created_at", "-pk")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        warn_without_worker(request)
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ImportJob], search_term: str
    ) -> tuple[QuerySet[ImportJob], bool]:
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            return super().get_search_results(request, queryset, search_term)

    # --- Columns -------------------------------------------------------------

    @admin.display(description=_("status"), ordering="status")
    def state(self, job: ImportJob) -> SafeString | str:
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
    def progress(self, job: ImportJob) -> SafeString:
        bar = '<progress max="100" value="{0}" aria-label="{1}"></progress> <span>{0} %</span>'
        return format_html(bar, job.progress_percent, _("progress"))

    @admin.display(description=_("rows"), ordering="total")
    def counts(self, job: ImportJob) -> str:
        counts = {outcome.value: getattr(job, outcome.value) for outcome in Outcome}
        texts = [format_count(outcome, count) for outcome, count in counts.items() if count]
        if job.total is not None and (open_rows := job.total - job.processed):
            texts.append(format_count("not_written" if job.is_final else "remaining", open_rows))
        return ", ".join(texts) or NO_VALUE

    @admin.display(description=_("duration"))
    def duration(self, job: timeline.AnnotatedJob) -> str:
        return format_duration(timeline.compute_working_time(job))

    @admin.display(description=_("rows/s"))
    def speed(self, job: timeline.AnnotatedJob) -> str:
        if job.run > 1:
            return NO_VALUE  # The time includes waiting for the user between two checks.
        is_written = job.writing_started_at or job.status == Status.COMPLETE
        rows_done = job.processed if is_written else job.checked
        return format_rate(rows_done, timeline.compute_working_time(job))

    @admin.display(description=_("file"))
    def file_details(self, job: ImportJob) -> str:
        detected = job.detected_format or {}
        values = [detected.get(name) for name in ("format", "sheet", "encoding")]
        details = [filesizeformat(job.file_size), *(str(value) for value in values if value)]
        return f"{job.file_name} ({', '.join(details)})"

    @admin.display(description=_("options of the importer"))
    def upload_options(self, job: ImportJob) -> str:
        options = [f"{label}: {value}" for label, value in describe_options(job)]
        return ", ".join(options) or NO_VALUE

    @admin.display(description=_("detected format"))
    def detected_format_details(self, job: ImportJob) -> str:
        detected = job.detected_format or {}
        details = [f"{name}: {abbreviate(value)}" for name, value in detected.items()]
        return ", ".join(details) or NO_VALUE

    @admin.display(description=_("columns"))
    def headers(self, job: ImportJob) -> str:
        """Return which column fills which field, without sample values."""
        detected, importer = job.detected_columns or {}, get_importer_or_placeholder(job.importer)
        headers = dict(enumerate(detected.get("headers", [])))
        return ", ".join(
            f"{get_field_label(importer, field)} ← {headers.get(index) or index + 1}"
            for field, index in detected.get("positions", {}).items()
        )

    # --- Pages ---------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        admin_view, name = self.admin_site.admin_view, "imports_importjob"
        command_urls = [
            path(
                f"<uuid:pk>/commands/{command}/",
                admin_view(require_POST(partial(self.command_view, command=command))),
                name=f"{name}_command_{command}",
            )
            for command in ALL_COMMANDS
        ]
        rows_url = path("<uuid:pk>/rows/", admin_view(self.rows_view), name=f"{name}_rows")
        hooks_url = path(
            "<uuid:pk>/call-hooks/",
            admin_view(require_POST(self.call_hooks_view)),
            name=f"{name}_call_hooks",
        )
        return [rows_url, hooks_url, *command_urls, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        context = {} if job is None else self._build_job_context(request, job)
        return super().change_view(request, object_id, form_url, (extra_context or {}) | context)

    def _build_job_context(self, request: HttpRequest, job: ImportJob) -> dict[str, object]:
        batches_url = self.reverse("imports_importbatch_changelist")
        rows_url = self.reverse("imports_importjob_rows", job.pk)
        return {
            "job": job,
            "stalled": describe_stalled(job),
            "commands": [
                (command, self.reverse(f"imports_importjob_command_{name}", job.pk))
                for name, command in actions.list_offered_commands(job, request.user).items()
            ],
            "failed_calls": hooks.list_failed_calls(job),
            "call_hooks_url": self.reverse("imports_importjob_call_hooks", job.pk),
            "rows_url": rows_url,
            "batches_url": f"{batches_url}?job__id__exact={job.pk}",
            "records_url": get_records_url(job),
            "can_download": permissions.can_download(request.user, job),
            "read_notes": error_messages.describe_read_summary(job.read_summary, job.importer),
            **timeline.build_timeline_context(job),
            **rows.build_admin_problems_context(job, rows_url, request.user),
        }

    def rows_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self._get_visible_or_404(request, pk)
        if not job.has_contents:
            messages.warning(request, error_messages.CONTENTS_DELETED)
            return redirect(self.reverse("imports_importjob_change", job.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Rows"),
            "subtitle": job.file_name,
            "opts": self.opts,
            "media": self.media,
            "job": job,
            **rows.build_admin_rows_context(
                job, request.GET, self._make_get_record_url(request, job), request.user
            ),
        }
        return TemplateResponse(request, "admin/imports/importjob/rows.html", context)

    def command_view(self, request: HttpRequest, pk: UUID, command: Command) -> HttpResponse:
        job = self._get_visible_or_404(request, pk)
        actions.run_action(self, request, ImportJob.objects.filter(pk=job.pk), command)
        return redirect(self.reverse("imports_importjob_change", job.pk))

    def call_hooks_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Let the failed hooks of an import be called again at once."""
        job = self._get_visible_or_404(request, pk)
        if not permissions.get_controllable_imports(request.user).filter(pk=pk).exists():
            raise PermissionDenied
        if hooks.call_again(job):
            enqueue_hooks()
            text = gettext("The hooks are called again: %(file)s.") % {"file": job.file_name}
            self.log_change(request, job, text)
            messages.success(request, text)
        else:
            messages.warning(request, gettext("No call of a hook has failed."))
        return redirect(self.reverse("imports_importjob_change", job.pk))

    def _get_visible_or_404(self, request: HttpRequest, pk: UUID) -> ImportJob:
        job = self.get_object(request, str(pk))
        if job is None or not self.has_view_permission(request, job):
            raise Http404
        return job

    def _make_get_record_url(self, request: HttpRequest, job: ImportJob) -> rows.GetRecordUrl:
        """Return a function from the key of a record to its page in the admin.

        It returns "" for users who may not view the records, and if the admin has no such page.
        """
        model = (
            get_importer_or_placeholder(job.importer).model if is_registered(job.importer) else None
        )
        if model is None or not self.admin_site.is_registered(model):
            return lambda key: ""
        if not self.admin_site.get_model_admin(model).has_view_permission(request):
            return lambda key: ""
        name = f"{model._meta.app_label}_{model._meta.model_name}_change"
        return lambda key: self.reverse(name, key)

    # --- Actions -------------------------------------------------------------

    def has_control_permission(self, request: HttpRequest) -> bool:
        return permissions.get_controllable_imports(request.user).exists()

    actions = [_make_bulk_action(name) for name in ALL_COMMANDS]


def describe_stalled(job: ImportJob) -> str:
    """Return why the import makes no progress and what to do about it; "" if it does."""
    reason = find_stalled_reason(job)
    if reason is None:
        return ""
    sentence = error_messages.describe_stalled_reason(reason)
    return f"{sentence} {error_messages.advise_on_stalled_reason(reason)}"


def abbreviate(value: object) -> str:
    """Return the value as text; of a list only the first items and the number of the others."""
    if not isinstance(value, list):
        return NO_VALUE if value in (None, "") else str(value)
    more = f" (+{len(value) - MAX_LIST_ITEMS})" if len(value) > MAX_LIST_ITEMS else ""
    return " / ".join(map(str, value[:MAX_LIST_ITEMS])) + more if value else NO_VALUE


def get_records_url(job: ImportJob) -> str:
    """Return the URL of the page that lists what the import has written; "" if there is none."""
    page = get_importer_or_placeholder(job.importer).page
    if not page or not job.written or not job.has_contents:  # The rows name the records.
        return ""
    return f"{reverse(page)}?import={job.pk}"
