"""Undo an import: `python manage.py undo_import ID [--wait]`."""

from __future__ import annotations

from imports import lifecycle
from imports.history import Actor
from imports.management.base import ControlCommand
from imports.models import ImportJob


class Command(ControlCommand):
    help = (
        "Undo an import: remove the records that it has created, and give those that it has "
        "updated their previous values back. Records that were edited or used since are kept."
    )
    can_wait = True

    def control(self, job: ImportJob, by: Actor) -> ImportJob:
        return lifecycle.undo(job, by=by)

    def describe_result(self, job: ImportJob) -> str:
        return f"Undo has begun. Written records: {job.written:,}."
