"""Resume a paused import: `python manage.py resume_import ID`."""

from __future__ import annotations

from imports import lifecycle
from imports.history import Actor
from imports.management.base import ControlCommand
from imports.models import ImportJob


class Command(ControlCommand):
    help = "Go on with the writing of a paused import."
    can_wait = True

    def control(self, job: ImportJob, by: Actor) -> ImportJob:
        return lifecycle.resume(job, by=by)

    def describe_result(self, job: ImportJob) -> str:
        return f"Resumed after {job.processed:,} of {job.total or job.checked:,} rows."
