"""Retry a failed import, or the failed rows of a completed one: `manage.py retry_import ID`."""

from __future__ import annotations

from imports import lifecycle
from imports.history import Actor
from imports.management.base import ControlCommand
from imports.models import ImportJob
from imports.statuses import Status


class Command(ControlCommand):
    help = (
        "Go on with an import that has failed, or import the failed rows of a completed import "
        "again. The latter creates an import of its own, and the output has its id."
    )
    can_wait = True

    def control(self, job: ImportJob, by: Actor) -> ImportJob:
        self.is_new = job.status == Status.COMPLETE
        return lifecycle.retry(job, by=by)

    def describe_result(self, job: ImportJob) -> str:
        if self.is_new:
            return f"The import {job.pk} retries the failed rows."
        return "The import goes on from where it stopped."
