"""The ledger check: whether counts, outcomes, batches and records of an import agree.

One statement reads the import, its rows and its batches, so it sees one state of the database, also
while workers write. The statements are set-based: a million rows take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.utils.timezone import localtime

from imports.importer import is_registered
from imports.models import ImportJob
from imports.pipeline.target_table import TargetTable, get_job_target
from imports.postgres import open_cursor
from imports.statuses import Outcome, Status

MAX_EXAMPLE_ROWS = 5

# Each batch reads its own rows through the primary key, so no row is compared with every batch.
# A row without an outcome is `new` if it creates a record, and `matched` if it has one already.
COUNT_ROWS = """
WITH staged AS (
    SELECT count(*) AS rows,
           count(*) FILTER (WHERE outcome = 'updated') AS updated,
           count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged,
           count(*) FILTER (WHERE outcome = 'skipped') AS skipped,
           count(*) FILTER (WHERE outcome = 'failed') AS failed,
           count(*) FILTER (WHERE outcome = 'created') AS stored_as_created,
           count(*) FILTER (WHERE outcome IS NULL) AS open,
           count(*) FILTER (WHERE kept IS NOT NULL) AS kept
      FROM imports_importrow WHERE job_id = %(job)s),
batched AS (
    SELECT coalesce(sum(new) FILTER (WHERE is_applied), 0) AS created,
           coalesce(sum(matched) FILTER (WHERE is_applied), 0) AS without_outcome,
           coalesce(sum(new + matched), 0) AS covered,
           coalesce(sum(new - new_kept) FILTER (WHERE is_undone), 0) AS removed,
           coalesce(sum(updated - updated_kept) FILTER (WHERE is_undone), 0) AS restored,
           count(*) FILTER (WHERE NOT is_applied AND rows <> new + matched) AS wrong_batches
      FROM (SELECT batch.applied_at IS NOT NULL AS is_applied,
                   batch.undone_at IS NOT NULL AS is_undone, batch.rows, found.*
              FROM imports_importbatch batch CROSS JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE outcome IS NULL AND NOT matched) AS new,
                          count(*) FILTER (WHERE outcome IS NULL AND matched) AS matched,
                          count(*) FILTER (WHERE outcome = 'updated') AS updated,
                          count(*) FILTER (WHERE outcome IS NULL AND NOT matched
                                             AND kept IS NOT NULL) AS new_kept,
                          count(*) FILTER (WHERE outcome = 'updated'
                                             AND kept IS NOT NULL) AS updated_kept
                     FROM imports_importrow
                    WHERE job_id = batch.job_id
                      AND number BETWEEN batch.first_row AND batch.last_row) AS found
             WHERE batch.job_id = %(job)s) AS batches),
overlapping AS (
    SELECT count(*) AS overlapping_batches
      FROM (SELECT first_row <= max(last_row) OVER (
                       ORDER BY first_row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                   AS is_overlapping
              FROM imports_importbatch WHERE job_id = %(job)s) AS pairs
     WHERE is_overlapping)
SELECT job.status, job.total, job.checked, job.processed, job.created, job.updated, job.unchanged,
       job.skipped, job.failed, job.removed, job.restored, job.kept,
       staged.rows, staged.updated AS updated_rows, staged.unchanged AS unchanged_rows,
       staged.skipped AS skipped_rows, staged.failed AS failed_rows, staged.stored_as_created,
       staged.open AS open_rows, staged.kept AS kept_rows, batched.created AS created_rows,
       batched.without_outcome, batched.covered, batched.removed AS removed_rows,
       batched.restored AS restored_rows, batched.wrong_batches, overlapping.overlapping_batches
  FROM imports_importjob job, staged, batched, overlapping
 WHERE job.id = %(job)s
"""
# The rows that have created a record. A batch is the unit, because the key of a row is known before
# the row is written.
CREATED_ROWS = """
created AS MATERIALIZED (
    SELECT r.number, r.target_id
      FROM imports_importbatch batch JOIN imports_importrow r
        ON r.job_id = batch.job_id AND r.number BETWEEN batch.first_row AND batch.last_row
     WHERE batch.job_id = %(job)s AND batch.applied_at IS NOT NULL
       AND r.outcome IS NULL AND NOT r.matched
       AND ({with_undone} OR batch.undone_at IS NULL OR r.kept IS NOT NULL))
"""
FIND_REPEATED_RECORDS = f"""
WITH {CREATED_ROWS.format(with_undone="true")},
repeated AS (SELECT target_id, min(number) AS number, count(*) AS rows
               FROM created GROUP BY target_id HAVING count(*) > 1)
SELECT count(*), (array_agg(number ORDER BY number))[1:%(examples)s] FROM repeated
"""
# `{record}` is the condition on the record of a row.
FIND_MISSING_RECORDS = f"""
WITH {CREATED_ROWS.format(with_undone="false")}
SELECT count(*), (array_agg(r.number ORDER BY r.number))[1:%(examples)s]
  FROM created r
 WHERE r.target_id IS NULL OR NOT EXISTS (SELECT FROM {{table}} c WHERE c.{{pk}} = {{id}})
"""
# Undo has removed these records, or restored their values.
FIND_UNDONE_RECORDS = """
SELECT count(*), (array_agg(r.number ORDER BY r.number))[1:%(examples)s]
  FROM imports_importbatch batch JOIN imports_importrow r
    ON r.job_id = batch.job_id AND r.number BETWEEN batch.first_row AND batch.last_row
 WHERE batch.job_id = %(job)s AND batch.undone_at IS NOT NULL
   AND r.outcome IS NULL AND NOT r.matched AND r.kept IS NULL
   AND EXISTS (SELECT FROM {table} c WHERE c.{pk} = {id})
"""
# The check of such an import has not ended, or its rows are those of an earlier check.
STATUSES_WITHOUT_LEDGER = frozenset({Status.QUEUED})
# Every row without an outcome must be in a batch, or nobody will write it.
STATUSES_WITH_BATCHES = frozenset({Status.READY, Status.RUNNING, Status.PAUSED})


@dataclass(frozen=True)
class LedgerReport:
    """What the check of one import has found, as English sentences."""

    job_id: UUID
    # What must never be: a row without or with two outcomes, a wrong count, a record written twice.
    violations: list[str] = field(default_factory=list)
    # What is no fault of the import, such as records that somebody has deleted since.
    information: list[str] = field(default_factory=list)


def check_ledger(job: ImportJob) -> LedgerReport:
    """Check that the counts of an import agree with its rows, batches and records.

    An import whose contents were deleted, or that waits for its check, has no ledger: `information`
    says so.

    Raises:
        ImportJob.DoesNotExist: The import was deleted in the meantime.
    """
    report = LedgerReport(job.pk)
    if job.contents_deleted_at is not None:
        day = localtime(job.contents_deleted_at).date().isoformat()
        report.information.append(f"Its rows were deleted on {day}, so only its counts are left.")
        return report
    if job.status in STATUSES_WITHOUT_LEDGER:
        report.information.append("It waits for a worker and has no checked rows yet.")
        return report
    status, counts = _count_rows(job.pk)
    report.violations.extend(_find_wrong_counts(status, counts))
    if counts["created_rows"]:
        _check_records(job, report)
    return report


def _count_rows(job_id: UUID) -> tuple[str, dict[str, int]]:
    """Return the status of the import, and its counts beside those of its rows and batches."""
    with open_cursor() as cursor:
        cursor.execute(COUNT_ROWS, {"job": job_id})
        row = cursor.fetchone()
        if row is None:
            raise ImportJob.DoesNotExist
        counts = dict(zip((column[0] for column in cursor.description), row, strict=True))
        return counts.pop("status"), counts


def _find_wrong_counts(status: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each count that differs from the rows."""
    yield from _compare_counts(counts)
    rows = counts["rows"]
    if counts["total"] is not None and counts["total"] != rows:
        yield f"Rows in total: {counts['total']:,}. Stored rows: {rows:,}."
    if counts["checked"] != rows:
        yield f"Checked rows: {counts['checked']:,}. Stored rows: {rows:,}."
    if counts["stored_as_created"]:
        yield f"Rows that store the outcome created: {counts['stored_as_created']:,}."
    if counts["without_outcome"]:
        yield f"Rows of written batches without an outcome: {counts['without_outcome']:,}."
    if counts["overlapping_batches"]:
        yield f"Batches that hold rows of an earlier batch: {counts['overlapping_batches']:,}."
    pending = counts["open_rows"] - counts["created_rows"]
    if status == Status.COMPLETE and pending:
        yield f"The import is complete. Rows without an outcome: {pending:,}."
    if status in STATUSES_WITH_BATCHES:
        if left_over := counts["open_rows"] - counts["covered"]:
            yield f"Rows without an outcome that are in no batch: {left_over:,}."
        if counts["wrong_batches"]:
            yield f"Batches with another number of rows than planned: {counts['wrong_batches']:,}."
    undone = counts["removed"] + counts["restored"] + counts["kept"]
    written = counts["created"] + counts["updated"]
    if status == Status.UNDONE and undone != written:
        yield f"The import is undone. Written rows: {written:,}. Undone rows: {undone:,}."


def _compare_counts(counts: Mapping[str, int]) -> Iterator[str]:
    for outcome in Outcome.values:
        count, rows = counts[outcome], counts[f"{outcome}_rows"]
        if count != rows:
            yield f"The count of {outcome} rows is {count:,}. Stored rows: {rows:,}."
    for name in ("removed", "restored", "kept"):
        count, rows = counts[name], counts[f"{name}_rows"]
        if count != rows:
            yield f"The count of records that undo has {name} is {count:,}. Stored rows: {rows:,}."


def _check_records(job: ImportJob, report: LedgerReport) -> None:
    """Compare the rows that have created records with the table of the importer."""
    if count_and_rows := _find_rows(job, FIND_REPEATED_RECORDS):
        report.violations.append(
            f"{_describe(*count_and_rows)} created a record that another row created too."
        )
    if not is_registered(job.importer):
        report.information.append(
            f"Its importer {job.importer!r} is not installed, so its records were not checked."
        )
        return
    target = get_job_target(job)
    if count_and_rows := _find_rows(job, _fill_in(FIND_UNDONE_RECORDS, target)):
        report.violations.append(
            f"{_describe(*count_and_rows)} counts as undone, but the record still exists."
        )
    if count_and_rows := _find_rows(job, _fill_in(FIND_MISSING_RECORDS, target)):
        report.information.append(
            f"{_describe(*count_and_rows)} created a record that does not exist now: it was "
            "deleted since, or has another key."
        )


def _fill_in(statement: str, target: TargetTable) -> str:
    return statement.format(table=target.table, pk=target.pk, id=target.id_of_row)


def _find_rows(job: ImportJob, statement: str) -> tuple[int, list[int]] | None:
    """Return how many rows a statement finds, and the numbers of the first; None without any."""
    with open_cursor() as cursor:
        cursor.execute(statement, {"job": job.pk, "examples": MAX_EXAMPLE_ROWS})
        count, numbers = cursor.fetchone()
    return (count, numbers) if count else None


def _describe(count: int, numbers: list[int]) -> str:
    """Return for example "Each of 7 rows (2, 3, 5, 8, 9, …)"."""
    if count == 1:
        return f"Row {numbers[0]}"
    more = ", …" if count > len(numbers) else ""
    return f"Each of {count:,} rows ({', '.join(map(str, numbers))}{more})"
