"""Workers in the admin: which ones are alive, and their current work."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from imports.admin.base import NO_VALUE, ReadOnlyAdmin
from imports.conf import app_settings
from imports.models import Worker

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class WorkerAnnotations(TypedDict):
        alive: bool

    AnnotatedWorker = WithAnnotations[Worker, WorkerAnnotations]


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin[Worker]):
    list_display = ("name", "is_alive", "work", "started_at", "heartbeat_at")
    fields = list_display
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        oldest_heartbeat = Now() - timedelta(seconds=app_settings.WORKER_HEARTBEAT_TIMEOUT_SECONDS)
        alive = ExpressionWrapper(Q(heartbeat_at__gt=oldest_heartbeat), BooleanField())
        return super().get_queryset(request).annotate(alive=alive)

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, worker: AnnotatedWorker) -> bool:
        return worker.alive

    @admin.display(description=_("current work"))
    def work(self, worker: Worker) -> str:
        steps = (f"{step['what']} ({step['seconds']} s)" for step in worker.current_work)
        return ", ".join(steps) or NO_VALUE
