"""Duplicates among the staged rows of one import, found and resolved by SQL.

Rows get the outcome that they would get if they were written one after another in the order of the
file, into the table as it is now:

1. For a row whose key an existing record has, the policy `on_duplicate` decides. Under `update`
   the row takes that record; if its keys belong to different records, it fails.
2. Of the other rows, one that shares a key with an earlier *kept* row, or takes the same record,
   fails: it repeats that row.
3. A failed row takes no key, so a row that repeats only a failed row is kept.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.utils import CursorWrapper

from imports.models import ImportJob
from imports.pipeline.target_table import (
    TargetColumn,
    TargetTable,
    build_key_match,
    build_key_value,
)
from imports.postgres import open_cursor
from imports.statuses import OnDuplicate, Outcome

# The existing records that have a key of each row. `slot` is the index of the key.
FIND_EXISTING = """
CREATE TEMP TABLE existing_match ON COMMIT DROP AS
SELECT number, array_agg(DISTINCT target) AS targets, min(slot) AS slot
  FROM ({arms}) AS hit
 GROUP BY number
"""
FIND_EXISTING_BY_KEY = """
SELECT r.number, c.{pk}::text AS target, {slot} AS slot
  FROM imports_importrow r JOIN {table} c ON {match}
 WHERE r.job_id = %(job)s AND r.number BETWEEN %(first)s AND %(last)s
   AND r.outcome IS NULL AND NOT r.matched
   AND c.{pk} <> {id}  -- Not the record that the row itself has created.
"""
SET_OUTCOME_OF_EXISTING = """
UPDATE imports_importrow r
   SET outcome = %(outcome)s, matched = true, target_id = existing_match.targets[1],
       errors = jsonb_build_array(jsonb_build_object(
           'field', (%(columns)s::text[])[existing_match.slot + 1], 'code', 'exists',
           'params', jsonb_build_object(),
           'value', coalesce(r.cleaned[(%(positions)s::int[])[existing_match.slot + 1]], '')))
  FROM existing_match
 WHERE r.job_id = %(job)s AND r.number = existing_match.number
"""
ASSIGN_EXISTING_RECORDS = """
UPDATE imports_importrow r
   SET matched = true, target_id = existing_match.targets[1],
       outcome = CASE WHEN cardinality(targets) > 1 THEN 'failed' END,
       errors = CASE WHEN cardinality(targets) > 1 THEN jsonb_build_array(jsonb_build_object(
           'field', NULL, 'code', 'matches_several', 'params',
           jsonb_build_object('count', cardinality(targets)), 'value', '')) END
  FROM existing_match
 WHERE r.job_id = %(job)s AND r.number = existing_match.number
"""
# Keys that more than one open row has. Hash grouping of one key at a time was twice as fast as one
# grouping over all keys, and three times as fast as window functions.
FIND_DUPLICATE_KEYS = """
CREATE TEMP TABLE repeated_key ON COMMIT DROP AS {arms}
"""
FIND_REPEATED_KEY = """
SELECT {slot} AS slot, k
  FROM (SELECT {value} AS k FROM imports_importrow r
         WHERE r.job_id = %(job)s AND r.outcome IS NULL) AS keys
 WHERE k IS NOT NULL GROUP BY k HAVING count(*) > 1
"""
FIND_CANDIDATES = """
CREATE TEMP TABLE candidate ON COMMIT DROP AS
SELECT * FROM (SELECT r.number, {values} FROM imports_importrow r
                WHERE r.job_id = %(job)s AND r.outcome IS NULL) AS keyed
 WHERE {has_repeated_key}
"""
# Rows are inserted in the order of the file, and a row that shares a key with an inserted row is
# left out. The unique columns alone do this, for chains of repeated keys of any length.
CREATE_KEPT = "CREATE TEMP TABLE kept (number int PRIMARY KEY, {columns}) ON COMMIT DROP"
INSERT_KEPT = "INSERT INTO kept SELECT * FROM candidate ORDER BY number ON CONFLICT DO NOTHING"
FAIL_DUPLICATES = """
UPDATE imports_importrow r
   SET outcome = 'failed', errors = jsonb_build_array(jsonb_build_object(
       'field', (%(columns)s::text[])[found.slot + 1], 'code', 'repeats_row',
       'params', jsonb_build_object('row', found.number),
       'value', coalesce(r.cleaned[(%(positions)s::int[])[found.slot + 1]], '')))
  FROM candidate s
 CROSS JOIN LATERAL (SELECT slot, number FROM ({arms}) AS hit ORDER BY slot LIMIT 1) AS found
 WHERE r.job_id = %(job)s AND r.number = s.number
   AND NOT EXISTS (SELECT FROM kept WHERE kept.number = s.number)
"""
FIND_KEPT_BY_KEY = """
SELECT {slot} AS slot, kept.number FROM kept
 WHERE kept.k{slot} = s.k{slot} AND kept.number < s.number  -- A row repeats earlier rows only.
"""


def match_existing_records(
    target: TargetTable, job: ImportJob, *, first: int, last: int
) -> dict[str, int]:
    """Match the open rows of this range with existing records, and apply the duplicate policy.

    Works within the caller's transaction and leaves the temporary table `existing_match`. Returns
    the number of rows by outcome. Under the policy `update`, rows that match one record have no
    outcome yet and are not counted.
    """
    parameters: dict[str, Any] = {"job": job.pk, "first": first, "last": last}
    arms = [
        FIND_EXISTING_BY_KEY.format(
            pk=target.pk,
            id=target.id_of_row,
            table=target.table,
            slot=slot,
            match=build_key_match(key),
        )
        for slot, key in enumerate(target.keys)
    ]
    with open_cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {target.table} WHERE %(job)s IS NOT NULL)", parameters
        )
        if not arms or not cursor.fetchone()[0]:
            return {}
        cursor.execute("DROP TABLE IF EXISTS pg_temp.existing_match")
        cursor.execute(FIND_EXISTING.format(arms=" UNION ALL ".join(arms)), parameters)
        cursor.execute("ANALYZE existing_match")
        if job.on_duplicate == OnDuplicate.UPDATE:
            cursor.execute(ASSIGN_EXISTING_RECORDS, parameters)
            cursor.execute("SELECT count(*) FROM existing_match WHERE cardinality(targets) > 1")
            return {Outcome.FAILED: cursor.fetchone()[0]}
        outcome = get_duplicate_outcome(job.on_duplicate)
        key_parameters = _get_key_parameters(target.keys)
        cursor.execute(SET_OUTCOME_OF_EXISTING, parameters | {"outcome": outcome} | key_parameters)
        return {outcome: cursor.rowcount}


def get_duplicate_outcome(on_duplicate: str) -> Outcome:
    """Return the outcome of a row whose record exists and is not to be updated."""
    return Outcome.FAILED if on_duplicate == OnDuplicate.FAIL else Outcome.SKIPPED


def fail_duplicates_in_file(target: TargetTable, job: ImportJob) -> int:
    """Fail the open rows that repeat an earlier kept row, and return how many there are.

    Works within the caller's transaction, after `match_existing_records`.
    """
    values = [build_key_value(key) for key in target.keys]
    if job.on_duplicate == OnDuplicate.UPDATE:  # Two rows may take one record.
        values.append("CASE WHEN r.matched THEN r.target_id END")
    if not values:
        return 0
    slots = range(len(values))
    parameters = {"job": job.pk} | _get_key_parameters(target.keys)
    with open_cursor() as cursor:
        arms = [FIND_REPEATED_KEY.format(slot=slot, value=values[slot]) for slot in slots]
        # They exist if a test checks several files in one transaction. The schema is named, so
        # that no table of the project is dropped.
        cursor.execute("DROP TABLE IF EXISTS pg_temp.repeated_key, pg_temp.candidate, pg_temp.kept")
        cursor.execute(FIND_DUPLICATE_KEYS.format(arms=" UNION ALL ".join(arms)), parameters)
        if cursor.rowcount == 0:
            return 0
        cursor.execute("ANALYZE repeated_key")
        _keep_first_rows(cursor, values, parameters)
        arms = [FIND_KEPT_BY_KEY.format(slot=slot) for slot in slots]
        cursor.execute(FAIL_DUPLICATES.format(arms=" UNION ALL ".join(arms)), parameters)
        return int(cursor.rowcount)


def _keep_first_rows(cursor: CursorWrapper, values: list[str], parameters: dict[str, Any]) -> None:
    """Fill the temporary tables `candidate` (rows with repeated keys) and `kept` (first rows)."""
    named_values = ", ".join(f"{value} AS k{slot}" for slot, value in enumerate(values))
    has_repeated_key = " OR ".join(
        f"k{slot} IN (SELECT k FROM repeated_key WHERE slot = {slot})"
        for slot in range(len(values))
    )
    cursor.execute(
        FIND_CANDIDATES.format(values=named_values, has_repeated_key=has_repeated_key), parameters
    )
    unique_columns = ", ".join(f"k{slot} text UNIQUE" for slot in range(len(values)))
    cursor.execute(CREATE_KEPT.format(columns=unique_columns))
    cursor.execute(INSERT_KEPT)
    cursor.execute("ANALYZE kept")
    cursor.execute("ANALYZE candidate")


def _get_key_parameters(keys: tuple[tuple[TargetColumn, ...], ...]) -> dict[str, list[Any]]:
    """Return, by key, the field that errors name (the key's first) and its place in a row.

    The None at the end stands for the record itself, which is a key under the policy `update`.
    """
    positions = [key[0].position for key in keys]
    names = [key[0].field for key in keys]
    return {"columns": [*names, None], "positions": [*positions, None]}
