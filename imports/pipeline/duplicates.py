"""Repeats and clashes, by query: what each staged row will become.

Rows are judged as if written one after another in file order, against the table as it
stands now:

1. A row whose key an existing record holds is decided by `on_duplicate`; under `update` it
   takes that record, and if its keys hit two different records it is refused.
2. Of the rest, a row that shares a key with an earlier *kept* row, or takes the same
   record, is refused: it repeats that row.
3. A refused row claims nothing: what repeats only it is kept.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from imports import advisory_locks
from imports.importer import get_importer
from imports.models import ImportJob, ImportRow
from imports.pipeline.column_mapping import save_mapping
from imports.pipeline.target_table import (
    TargetColumn,
    TargetTable,
    build_key_match,
    build_key_value,
    get_target_table,
)
from imports.pipeline.transactions import JobNotActive, short_transaction
from imports.statuses import CHECKING_PERCENT, OnDuplicate, Outcome, Status

STILL_OURS = "status = 'CHECKING' AND check_generation = %(round)s AND cursor_row = %(at)s"
LOOK = f"SELECT FROM imports_importjob WHERE id = %(job)s AND {STILL_OURS}"
# Which existing records each row's keys belong to.
CLASHES = """
CREATE TEMP TABLE clash ON COMMIT DROP AS
SELECT number, array_agg(DISTINCT target) AS targets, min(slot) AS slot
  FROM ({arms}) AS hit
 GROUP BY number
"""
CLASH = """
SELECT r.number, c.{pk}::text AS target, {slot} AS slot
  FROM imports_importrow r JOIN {table} c ON {match}
 WHERE r.job_id = %(job)s AND r.number BETWEEN %(first)s AND %(last)s
   AND r.outcome IS NULL AND NOT r.matched AND c.{pk} <> {id}  -- Not what we wrote ourselves.
"""
DECIDE_CLASHES = """
UPDATE imports_importrow r
   SET outcome = %(outcome)s, matched = true, target_id = clash.targets[1],
       errors = jsonb_build_array(jsonb_build_object(
           'column', (%(columns)s::text[])[clash.slot + 1], 'code', 'exists',
           'params', jsonb_build_object(),
           'value', coalesce(r.cleaned[(%(positions)s::int[])[clash.slot + 1]], '')))
  FROM clash
 WHERE r.job_id = %(job)s AND r.number = clash.number
"""
TAKE_RECORDS = """
UPDATE imports_importrow r
   SET matched = true, target_id = clash.targets[1],
       outcome = CASE WHEN cardinality(targets) > 1 THEN 'failed' END,
       errors = CASE WHEN cardinality(targets) > 1 THEN jsonb_build_array(jsonb_build_object(
           'column', NULL, 'code', 'matches_several', 'params',
           jsonb_build_object('count', cardinality(targets)), 'value', '')) END
  FROM clash
 WHERE r.job_id = %(job)s AND r.number = clash.number
"""
# Keys that more than one open row has. Hash grouping, a key at a time, proved twice as
# fast as one grouping over all keys, and three times as fast as window functions.
REPEATED_KEYS = """
CREATE TEMP TABLE repeated ON COMMIT DROP AS {arms}
"""
REPEATED_KEY = """
SELECT {slot} AS slot, k
  FROM (SELECT {value} AS k FROM imports_importrow r
         WHERE r.job_id = %(job)s AND r.outcome IS NULL) AS keys
 WHERE k IS NOT NULL GROUP BY k HAVING count(*) > 1
"""
SUSPECTS = """
CREATE TEMP TABLE suspect ON COMMIT DROP AS
SELECT * FROM (SELECT r.number, {values} FROM imports_importrow r
                WHERE r.job_id = %(job)s AND r.outcome IS NULL) AS keyed
 WHERE {suspicious}
"""
# The greedy pass: rows enter in file order, and one that shares a key with a row already
# in stays out. The unique columns are the whole algorithm, for chains of any length.
KEPT = "CREATE TEMP TABLE kept (number int PRIMARY KEY, {columns}) ON COMMIT DROP"
KEEP = "INSERT INTO kept SELECT * FROM suspect ORDER BY number ON CONFLICT DO NOTHING"
REFUSE_REPEATS = """
UPDATE imports_importrow r
   SET outcome = 'failed', errors = jsonb_build_array(jsonb_build_object(
       'column', (%(columns)s::text[])[found.slot + 1], 'code', 'repeats_row',
       'params', jsonb_build_object('row', found.number),
       'value', coalesce(r.cleaned[(%(positions)s::int[])[found.slot + 1]], '')))
  FROM suspect s
 CROSS JOIN LATERAL (SELECT slot, number FROM ({arms}) AS hit ORDER BY slot LIMIT 1) AS found
 WHERE r.job_id = %(job)s AND r.number = s.number
   AND NOT EXISTS (SELECT FROM kept WHERE kept.number = s.number)
"""
FIRST_WITH_KEY = """
SELECT {slot} AS slot, kept.number FROM kept
 WHERE kept.k{slot} = s.k{slot} AND kept.number < s.number  -- It repeats no later row.
"""
# Batches hold only rows that still need writing; their numbers may have gaps.
PLAN = """
INSERT INTO imports_importbatch (job_id, number, first_row, last_row, rows, crashes, worker)
SELECT %(job)s, piece + 1, min(number), max(number), count(*), 0, ''
  FROM (SELECT number, (row_number() OVER (ORDER BY number) - 1) / %(size)s AS piece
          FROM imports_importrow WHERE job_id = %(job)s AND outcome IS NULL) AS open
 GROUP BY piece
"""
TOTALS = f"""
UPDATE imports_importjob
   SET total = checked, checked_at = now(), to_update = %(to_update)s,
       reader_crashes = 0, reader_heartbeat_at = NULL,
       skipped = skipped + %(skipped)s, failed = failed + %(failed)s,
       processed = processed + %(skipped)s + %(failed)s,
       progress_percent = greatest(progress_percent, %(percent)s)
 WHERE id = %(job)s AND {STILL_OURS}
"""


def finish_check(job: ImportJob) -> ImportJob:
    """Judge all staged rows, plan the batches and leave CHECKING; or raise Stopped.

    One transaction: a job is either still being checked or settled as a whole.
    """
    limit = settings.IMPORT_SETTLE_TIMEOUT
    with (
        short_transaction(statement_timeout=limit, idle_in_transaction_session_timeout=limit),
        connection.cursor() as cursor,
    ):
        cursor.execute("SET LOCAL work_mem = '16MB'")
        these = {"job": job.pk, "round": job.check_generation, "at": job.cursor_row}
        if not try_lock_end_of_check(job.pk) or not _did(cursor, LOOK, these):
            raise JobNotActive
        if job.checked == 0:
            return ImportJob.objects.transition(job.pk, Status.FAILED, error_code="no_rows")
        target = get_target_table(get_importer(job.importer))
        clashes = match_existing_records(target, job, first=0, last=job.cursor_row)
        refused = fail_duplicates_in_file(target, job)
        cursor.execute(PLAN, {"job": job.pk, "size": compute_batch_size(job.checked)})
        if not _did(cursor, TOTALS, these | _totals(job, clashes, refused)):
            raise JobNotActive
        save_mapping(job)
        return _go_on(job)


def try_lock_end_of_check(job_id: UUID) -> bool:
    """Keep other transactions from ending the check of this import; return False if one does.

    For a million rows that takes over a minute, in which no heartbeat is sent. The lock is an
    advisory lock, not a lock of the import's row, so that cancel never waits.
    """
    return advisory_locks.try_lock(advisory_locks.END_OF_CHECK, str(job_id))


def _did(cursor: Any, statement: str, these: dict[str, Any]) -> bool:
    cursor.execute(statement, these)
    return cursor.rowcount == 1


def _go_on(job: ImportJob) -> ImportJob:
    if job.check_first:
        return ImportJob.objects.transition(job.pk, Status.READY)
    return start_applying(job.pk, only_from=Status.CHECKING)


def start_applying(pk: UUID, *, only_from: Status) -> ImportJob:
    """Move to RUNNING, and on to COMPLETE when nothing is left to write."""
    job = ImportJob.objects.transition(pk, Status.RUNNING, only_from=only_from)
    return complete_job_if_done(job)


def complete_job_if_done(job: ImportJob) -> ImportJob:
    """The transaction that gives the last row its outcome also completes the import."""
    if job.processed == job.total:
        return ImportJob.objects.transition(job.pk, Status.COMPLETE)
    return job


def compute_batch_size(total: int) -> int:
    """Large batches for throughput, small ones for a small file so that its bar moves."""
    a_twentieth = -(-total // settings.IMPORT_BATCHES_A_FILE)
    return min(settings.IMPORT_BATCH_ROWS, max(50, a_twentieth))


def match_existing_records(
    target: TargetTable, job: ImportJob, *, first: int, last: int
) -> dict[str, int]:
    """Decide, by policy, open rows of this range that belong to existing records.

    Returns how many rows got which outcome; under `update` most get none yet.
    """
    these = {"job": job.pk, "first": first, "last": last}
    arms = [
        CLASH.format(
            pk=target.pk,
            id=target.id_of_row,
            table=target.table,
            slot=slot,
            match=build_key_match(key),
        )
        for slot, key in enumerate(target.keys)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {target.table} WHERE %(job)s IS NOT NULL)", these
        )
        if not arms or not cursor.fetchone()[0]:
            return {}
        cursor.execute("DROP TABLE IF EXISTS clash")
        cursor.execute(CLASHES.format(arms=" UNION ALL ".join(arms)), these)
        cursor.execute("ANALYZE clash")
        if job.on_duplicate == OnDuplicate.UPDATE:
            cursor.execute(TAKE_RECORDS, these)
            cursor.execute("SELECT count(*) FROM clash WHERE cardinality(targets) > 1")
            return {Outcome.FAILED: cursor.fetchone()[0]}
        outcome = get_duplicate_outcome(job.on_duplicate)
        cursor.execute(DECIDE_CLASHES, these | {"outcome": outcome} | _shown(target.keys, job))
        return {outcome: cursor.rowcount}


def get_duplicate_outcome(on_duplicate: str) -> Outcome:
    """What becomes of a row whose record exists, when it is not to be updated."""
    return Outcome.FAILED if on_duplicate == OnDuplicate.FAIL else Outcome.SKIPPED


def fail_duplicates_in_file(target: TargetTable, job: ImportJob) -> int:
    """Refuse open rows that repeat an earlier kept row; returns how many."""
    values = [build_key_value(key) for key in target.keys]
    if job.on_duplicate == OnDuplicate.UPDATE:
        values.append("CASE WHEN r.matched THEN r.target_id END")  # The same record, twice.
    if not values:
        return 0
    slots = range(len(values))
    these = {"job": job.pk} | _shown(target.keys, job)
    with connection.cursor() as cursor:
        arms = [REPEATED_KEY.format(slot=slot, value=values[slot]) for slot in slots]
        cursor.execute(REPEATED_KEYS.format(arms=" UNION ALL ".join(arms)), these)
        if cursor.rowcount == 0:
            return 0
        cursor.execute("ANALYZE repeated")
        _keep_the_first(cursor, values, these)
        arms = [FIRST_WITH_KEY.format(slot=slot) for slot in slots]
        cursor.execute(REFUSE_REPEATS.format(arms=" UNION ALL ".join(arms)), these)
        return cursor.rowcount


def _keep_the_first(cursor: Any, values: list[str], these: dict[str, Any]) -> None:
    named = ", ".join(f"{value} AS k{slot}" for slot, value in enumerate(values))
    suspicious = " OR ".join(
        f"k{slot} IN (SELECT k FROM repeated WHERE slot = {slot})" for slot in range(len(values))
    )
    cursor.execute(SUSPECTS.format(values=named, suspicious=suspicious), these)
    unique = ", ".join(f"k{slot} text UNIQUE" for slot in range(len(values)))
    cursor.execute(KEPT.format(columns=unique))
    cursor.execute(KEEP)
    cursor.execute("ANALYZE kept")
    cursor.execute("ANALYZE suspect")


def _shown(keys: tuple[tuple[TargetColumn, ...], ...], job: ImportJob) -> dict[str, list[Any]]:
    """The column that each key is shown under: its first; and where that stands in a row."""
    columns = get_importer(job.importer).columns
    positions = [key[0].position for key in keys]
    names = [columns[position - 1].field for position in positions]
    return {"columns": [*names, None], "positions": [*positions, None]}


def _totals(job: ImportJob, clashes: dict[str, int], repeats: int) -> dict[str, int]:
    matched = ImportRow.objects.filter(job=job, outcome=None, matched=True)
    return {
        "skipped": clashes.get(Outcome.SKIPPED, 0),
        "failed": clashes.get(Outcome.FAILED, 0) + repeats,
        "percent": CHECKING_PERCENT,
        "to_update": matched.count() if job.on_duplicate == OnDuplicate.UPDATE else 0,
    }
