"""Start a checked import: `python manage.py start_import ID`."""

from __future__ import annotations

from imports import lifecycle
from imports.history import Actor
from imports.management.base import ControlCommand
from imports.models import ImportJob


class Command(ControlCommand):
    help = "Start an import that was checked first, for example by `import_file --check-first`."
    can_wait = True

    def control(self, job: ImportJob, by: Actor) -> ImportJob:
        return lifecycle.start(job, by=by)

    def describe_result(self, job: ImportJob) -> str:
        return f"Started: {job.total or job.checked:,} rows."
