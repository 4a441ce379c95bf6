"""The workers in the admin: who is alive, and what each does."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_dramatiq.models import Task

from imports.admin.base import NOTHING, ReadOnly
from imports.models import Worker

# Its table stays empty: messages carry no work, and what happened is told by imports.
admin.site.unregister(Task)


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("name", "is_alive", "at_work", "started_at", "heartbeat_at")
    fields = list_display
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        since = Now() - timedelta(seconds=settings.IMPORT_WORKER_SILENT_SECONDS)
        alive = ExpressionWrapper(Q(heartbeat_at__gt=since), BooleanField())
        return super().get_queryset(request).annotate(alive=alive)

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, worker: Worker) -> bool:
        return worker.alive

    @admin.display(description=_("doing"))
    def at_work(self, worker: Worker) -> str:
        told = (f"{step['what']} ({step['seconds']} s)" for step in worker.current_work)
        return ", ".join(told) or NOTHING
