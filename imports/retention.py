"""Retention: how long the data of imports is kept, and what is deleted when."""

from __future__ import annotations

from datetime import datetime, timedelta

from imports.conf import app_settings
from imports.models import ImportJob


def get_contents_deadline(job: ImportJob) -> datetime | None:
    """Return until when the file and the rows of an import are kept; None until it has ended."""
    if job.finished_at is None:
        return None
    return job.finished_at + timedelta(days=app_settings.KEEP_CONTENTS_DAYS)
