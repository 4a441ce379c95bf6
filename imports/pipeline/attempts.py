"""Attempts at a batch, counted so that violent crashes are known.

An attempt is a row, committed before the work begins and deleted by every orderly end. One
whose database session is gone was killed; one whose session lives may yet end in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from imports.models import ImportAttempt
from imports.pipeline.transactions import run_or_defer, short_transaction

BEGIN = """
INSERT INTO imports_importattempt (batch_id, session, worker, started_at)
SELECT batch.id, session.pid || ' ' || session.backend_start, %(worker)s, now()
  FROM imports_importbatch batch, pg_stat_activity session
 WHERE batch.job_id = %(job)s AND batch.number = %(number)s AND batch.applied_at IS NULL
   AND session.pid = pg_backend_pid()
RETURNING id, batch_id
"""
DEATHS = """
SELECT batch.crashes + (
           SELECT count(*) FROM imports_importattempt attempt
            WHERE attempt.batch_id = batch.id AND attempt.id <> %(attempt)s
              AND NOT EXISTS (
                  SELECT FROM pg_stat_activity session
                   WHERE session.pid || ' ' || session.backend_start = attempt.session))
  FROM imports_importbatch batch
 WHERE batch.id = %(batch)s
"""


@dataclass(frozen=True)
class Attempt:
    id: int
    crashes: int  # Of earlier attempts at the same batch.


def begin_attempt(job_id: UUID, number: int, worker: str) -> Attempt | None:
    """Count an attempt, and commit that before the work begins; None if nothing is to be done."""
    these = {"job": job_id, "number": number, "worker": worker}
    with short_transaction(durable=False), connection.cursor() as cursor:
        cursor.execute(BEGIN, these)
        if (row := cursor.fetchone()) is None:
            return None
        cursor.execute(DEATHS, {"attempt": row[0], "batch": row[1]})
        return Attempt(row[0], cursor.fetchone()[0])


def end_attempt(attempt: Attempt) -> None:
    """Take an attempt back that ended in order; if the database is away, once it is there."""

    def take_back() -> None:
        with short_transaction(durable=False):
            delete_attempt(attempt)

    run_or_defer(take_back)


def delete_attempt(attempt: Attempt) -> None:
    """Take an attempt back as a part of the caller's transaction."""
    ImportAttempt.objects.filter(pk=attempt.id).delete()


def mark_crashed(attempt: Attempt) -> None:
    """Let an attempt stand that ended in an error nobody foresaw."""

    def leave() -> None:
        with short_transaction(durable=False):
            ImportAttempt.objects.filter(pk=attempt.id).update(session="")

    run_or_defer(leave)
