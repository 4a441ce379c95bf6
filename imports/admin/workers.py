"""Workers in the admin: which ones are alive, and their current work."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from imports.admin.base import (
    NO_VALUE,
    ReadOnlyAdmin,
    format_duration,
    format_time,
    warn_without_worker,
)
from imports.conf import app_settings
from imports.models import Worker

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class WorkerAnnotations(TypedDict):
        alive: bool

    AnnotatedWorker = WithAnnotations[Worker, WorkerAnnotations]


UUID_PATTERN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin[Worker]):
    list_display = ("name", "is_alive", "busy_threads", "work", "started_at", "heartbeat_at")
    fields = list_display
    search_fields = ("name",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        warn_without_worker(request)
        return super().changelist_view(request, extra_context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        oldest_heartbeat = Now() - timedelta(seconds=app_settings.WORKER_HEARTBEAT_TIMEOUT_SECONDS)
        alive = ExpressionWrapper(Q(heartbeat_at__gt=oldest_heartbeat), BooleanField())
        return super().get_queryset(request).annotate(alive=alive)

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, worker: AnnotatedWorker) -> bool:
        return worker.alive

    @admin.display(description=_("busy threads"))
    def busy_threads(self, worker: AnnotatedWorker) -> str:
        return f"{len(worker.current_work)} / {worker.threads}" if worker.alive else NO_VALUE

    @admin.display(description=_("current work"))
    def work(self, worker: Worker) -> SafeString | str:
        """Return a line for each busy thread: what it does, for how long, and since when."""
        lines = [
            (
                self._link_import(step["what"]),
                format_duration(timedelta(seconds=step["seconds"])),
                format_time(worker.heartbeat_at - timedelta(seconds=step["seconds"])),
            )
            for step in worker.current_work
        ]
        return format_html_join(mark_safe("<br>"), "{} ({}, {})", lines) or NO_VALUE

    def _link_import(self, what: str) -> SafeString | str:
        """Return the description of a step, with a link to the import whose id it names."""
        if (match := UUID_PATTERN.search(what)) is None:
            return what
        url = self.reverse("imports_importjob_change", match[0])
        before, after = what[: match.start()], what[match.end() :]
        return format_html('{}<a href="{}">{}</a>{}', before, url, match[0], after)
