"""Do at once what workers do every two seconds: `python manage.py rescue_imports`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from imports import recovery
from imports.pipeline.transactions import TransientError
from imports.worker_status import count_live_workers


class Command(BaseCommand):
    help = (
        "Rescue imports that do not move: end database sessions that are frozen, release files "
        "whose reader has crashed, and send lost messages again. Workers do the same every two "
        "seconds; all of it may be repeated at any time."
    )

    def handle(self, *, verbosity: int, **options: Any) -> None:
        try:
            report = recovery.rescue()
        except TransientError as error:
            raise CommandError(
                f"The database did not answer in time (SQLSTATE {error}). Repeat the command."
            ) from error
        for sentence in describe_rescue(report):
            self.stdout.write(sentence)
        if not report.is_queue_reachable:
            raise CommandError(
                "The queue cannot be reached, so no message was sent. Start Redis, or correct "
                "IMPORTS_REDIS_URL. The imports are safe: workers continue them when the queue "
                "works again."
            )


def describe_rescue(report: recovery.RescueReport) -> list[str]:
    """Return what was done, as sentences."""
    sentences = []
    if report.frozen_sessions:
        sentences.append(f"Frozen database sessions that were ended: {report.frozen_sessions}.")
    if report.abandoned_checks:
        sentences.append(
            "Files that have lost their reader, so that any worker may read on: "
            f"{report.abandoned_checks}."
        )
    if report.waiting_checks:
        sentences.append(f"Files that wait to be checked: {report.waiting_checks}.")
    if report.batches:
        sentences.append(f"Messages sent for batches: {report.batches}.")
    if report.hook_calls:
        sentences.append(f"Calls of hooks that are due: {report.hook_calls}.")
    if not count_live_workers():
        sentences.append(
            "No worker is running, so nothing continues before you start one: "
            "python manage.py imports_worker."
        )
    return sentences or ["There was nothing to rescue."]
