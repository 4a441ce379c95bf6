"""Pause an import: `python manage.py pause_import ID`."""

from __future__ import annotations

from imports import lifecycle
from imports.history import Actor
from imports.management.base import ControlCommand
from imports.models import ImportJob


class Command(ControlCommand):
    help = "Pause the writing of an import. `resume_import` continues it."

    def control(self, job: ImportJob, by: Actor) -> ImportJob:
        return lifecycle.pause(job, by=by)

    def describe_result(self, job: ImportJob) -> str:
        return f"Paused after {job.processed:,} of {job.total or job.checked:,} rows."
