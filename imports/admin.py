"""Review of imports, their batches and the workers. Nothing here is edited: it is what happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from imports import access, lifecycle, outcomes
from imports.importer import shown_importer
from imports.messages import of_job, of_row
from imports.models import ImportBatch, ImportJob, ImportRow, NotAllowed, Worker
from imports.statuses import Outcome

ROWS_A_PAGE = 100
MOST_BATCHES = 100  # On an import's own page; the list of batches has them all.


class ReadOnly(admin.ModelAdmin):
    """What happened, to be looked at by those who may see every import."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # It would cascade through rows by the million; the purge does that.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        all_of_them = any(map(request.user.has_perm, ("imports.view_all", "imports.control_all")))
        return all_of_them or super().has_view_permission(request, obj)


@admin.register(ImportJob)
class ImportJobAdmin(ReadOnly):
    list_display = (
        *("file_name", "owner", "state", "progress", "counts", "duration", "speed", "created_at"),
    )
    list_filter = ("status", "importer", "on_duplicate")
    list_select_related = ("owner",)
    list_per_page = 50
    date_hierarchy = "created_at"
    search_fields = ("file_name", "owner__username")
    actions = ("start", "cancel")
    fieldsets = (
        (None, {"fields": ("file_name", "owner", "state", "progress", "counts", "rows")}),
        (_("Time"), {"fields": ("created_at", "started_at", "finished_at", "duration", "speed")}),
        (
            _("Details"),
            {
                "classes": ("collapse",),
                "fields": (
                    *("id", "importer", "on_duplicate", "empty_cells", "check_first"),
                    *("file_size", "file_digest", "opened", "layout", "column_mapping"),
                    *("total", "checked", "version", "run", "attempts"),
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportJob]:
        return access.visible_imports(request.user).order_by("-created_at", "-pk")

    # --- Columns -------------------------------------------------------------

    @admin.display(description=_("status"), ordering="status")
    def state(self, job: ImportJob) -> str:
        if not job.error_code:
            return job.get_status_display()
        return f"{job.get_status_display()}: {of_job(job.error_code, job.error_params)}"

    @admin.display(description=_("progress"), ordering="progress_percent")
    def progress(self, job: ImportJob) -> str:
        return format_html(
            '<progress max="100" value="{0}">{0} %</progress> {0} %', job.progress_percent
        )

    @admin.display(description=_("rows"))
    def counts(self, job: ImportJob) -> str:
        shown = [
            f"{count:,} {outcome.label.lower()}"
            for outcome in Outcome
            if (count := getattr(job, outcome.value))
        ]
        return ", ".join(shown) or "-"

    @admin.display(description=_("duration"))
    def duration(self, job: ImportJob) -> str:
        return f"{seconds:,.1f} s" if (seconds := seconds_taken(job)) is not None else "-"

    @admin.display(description=_("rows/s"))
    def speed(self, job: ImportJob) -> str:
        seconds = seconds_taken(job)
        return f"{job.processed / seconds:,.0f}" if seconds and job.processed else "-"

    @admin.display(description=_("row by row"))
    def rows(self, job: ImportJob) -> str:
        address = reverse("admin:imports_importjob_rows", args=[job.pk])
        return format_html('<a href="{}">{}</a>', address, _("Rows and what became of them"))

    # --- Pages ---------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        rows = self.admin_site.admin_view(self.rows_view)
        own = path("<uuid:pk>/rows/", rows, name="imports_importjob_rows")
        return [own, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        shown = {} if job is None else what_happened(job)
        return super().change_view(request, object_id, form_url, (extra_context or {}) | shown)

    def rows_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self.get_object(request, str(pk))
        if job is None or not self.has_view_permission(request, job):
            raise Http404
        outcome, after = request.GET.get("outcome", ""), request.GET.get("after", "")
        if outcome not in Outcome.values:
            outcome = ""
        after = int(after) if after.isdecimal() and len(after) < 10 else 0
        rows = outcomes.rows_of(
            job, outcome=outcome, after=after, most=ROWS_A_PAGE + 1, values=True
        )
        context = {
            **self.admin_site.each_context(request),
            "title": job.file_name,
            "opts": self.opts,
            "job": job,
            "outcome": outcome,
            "outcomes": Outcome.choices,
            "after": after,
            "headers": [column.field for column in shown_importer(job.importer).columns],
            "rows": [row_shown(row, job) for row in rows[:ROWS_A_PAGE]],
            "next": rows[ROWS_A_PAGE - 1].number if len(rows) > ROWS_A_PAGE else None,
        }
        return TemplateResponse(request, "admin/imports/importjob/rows.html", context)

    # --- Actions -------------------------------------------------------------

    def has_control_permission(self, request: HttpRequest) -> bool:
        return access.controllable_imports(request.user).exists()

    @admin.action(description=_("Start selected imports"), permissions=["control"])
    def start(self, request: HttpRequest, chosen: QuerySet[ImportJob]) -> None:
        self._move(request, chosen, lifecycle.start)

    @admin.action(description=_("Cancel selected imports"), permissions=["control"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[ImportJob]) -> None:
        self._move(request, chosen, lifecycle.cancel)

    def _move(
        self,
        request: HttpRequest,
        chosen: QuerySet[ImportJob],
        move: Callable[[UUID], ImportJob],
    ) -> None:
        mine = access.controllable_imports(request.user).filter(pk__in=chosen.values("pk"))
        allowed = set(mine.values_list("pk", flat=True))
        for job in chosen:
            try:
                if job.pk not in allowed:
                    raise NotAllowed(_("You may look at this import, but not start or stop it."))
                moved = move(job.pk)
                text, level = moved.get_status_display(), messages.SUCCESS
            except NotAllowed as error:
                text, level = str(error), messages.WARNING
            self.message_user(request, f"{job.file_name}: {text}", level)


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnly):
    list_display = (
        *("job", "number", "first_row", "last_row", "rows", "sent_at", "started_at"),
        *("applied_at", "seconds", "unfinished", "worker"),
    )
    list_display_links = ("number",)
    list_filter = (("applied_at", admin.EmptyFieldListFilter),)
    search_fields = ("job__file_name", "worker")
    ordering = ("-job__created_at", "number")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportBatch]:
        visible = access.visible_imports(request.user)
        return super().get_queryset(request).filter(job__in=visible).prefetch_related("attempts")

    @admin.display(description=_("seconds"))
    def seconds(self, batch: ImportBatch) -> str:
        return f"{seconds_of(batch):.2f}" if batch.applied_at and batch.started_at else "-"

    @admin.display(description=_("attempts not ended"))
    def unfinished(self, batch: ImportBatch) -> int:
        return unfinished(batch)


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("name", "is_alive", "at_work", "started_at", "seen_at")
    readonly_fields = ("is_alive", "at_work")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        since = Now() - timedelta(seconds=settings.IMPORT_WORKER_SILENT_SECONDS)
        alive = ExpressionWrapper(Q(seen_at__gt=since), BooleanField())
        return super().get_queryset(request).annotate(alive=alive)

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, worker: Worker) -> bool:
        return worker.alive

    @admin.display(description=_("doing"))
    def at_work(self, worker: Worker) -> str:
        return ", ".join(f"{step['what']} ({step['seconds']} s)" for step in worker.doing) or "-"


# --- What an import's pages show ---------------------------------------------


def what_happened(job: ImportJob) -> dict[str, Any]:
    batches = list(job.batches.prefetch_related("attempts")[: MOST_BATCHES + 1])
    return {
        "problems": [problem_shown(problem, job) for problem in outcomes.problems_of(job)],
        "problems_complete": outcomes.all_looked_at(job),
        "batches": [batch_shown(batch) for batch in batches[:MOST_BATCHES]],
        "more_batches": len(batches) > MOST_BATCHES,
        "batches_address": reverse("admin:imports_importbatch_changelist")
        + f"?job__id__exact={job.pk}",
        "rows_address": reverse("admin:imports_importjob_rows", args=[job.pk]),
    }


def problem_shown(problem: dict[str, Any], job: ImportJob) -> dict[str, Any]:
    return problem | {
        "outcome": Outcome(problem["outcome"]).label,
        # The words of the first one: "repeats row 3" is true of that row alone.
        "words": _("row %(row)s: %(words)s")
        % {"row": problem["rows"][0], "words": of_row(problem["example"], job.importer)},
        "before": problem["rows"][0] - 1,  # The page of rows that begins with the first one.
        "filter": problem["outcome"],
    }


def batch_shown(batch: ImportBatch) -> dict[str, Any]:
    took = seconds_of(batch) if batch.applied_at and batch.started_at else None
    return {"batch": batch, "took": took, "unfinished": unfinished(batch)}


def unfinished(batch: ImportBatch) -> int:
    """Attempts under way, or ended by the death of their worker."""
    return batch.deaths + len(batch.attempts.all())


def row_shown(row: ImportRow, job: ImportJob) -> dict[str, Any]:
    return {
        "number": row.number,
        "outcome": Outcome(row.result).label if row.result else "-",
        "record": outcomes.record_of(row),
        "values": row.shown_cleaned or row.shown_cells or [_("too long to be shown")],
        "as_read": row.shown_cleaned is None,  # In the file's own order of columns.
        "errors": [
            {
                "column": error["column"],
                "value": error["value"],
                "words": of_row(error, job.importer),
            }
            for error in row.errors or []
        ],
    }


def seconds_taken(job: ImportJob) -> float | None:
    if job.started_at is None:
        return None
    return ((job.finished_at or timezone.now()) - job.started_at).total_seconds()


def seconds_of(batch: ImportBatch) -> float:
    return (batch.applied_at - batch.started_at).total_seconds()
