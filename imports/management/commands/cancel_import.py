"""Cancel an import: `python manage.py cancel_import ID`."""

from __future__ import annotations

from imports import lifecycle
from imports.history import Actor
from imports.management.base import ControlCommand
from imports.models import ImportJob


class Command(ControlCommand):
    help = "Cancel an import. Batches that were written stay written; `undo_import` removes them."

    def control(self, job: ImportJob, by: Actor) -> ImportJob:
        return lifecycle.cancel(job, by=by)

    def describe_result(self, job: ImportJob) -> str:
        return (
            f"Cancelled. {job.processed:,} of {job.total or job.checked:,} rows have an outcome, "
            f"and {job.written:,} records stay as they were written."
        )
