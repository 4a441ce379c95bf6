"""A model of the pipeline in plain Python: dicts, one row after another, no sets, no queries.

The model follows the rules at the top of `imports/pipeline/duplicates.py` and shares no code
with the modules that implement them.
"""

from typing import NamedTuple

KEYS = ("shipping_mark", "email", "phone")
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


class RowResult(NamedTuple):
    outcome: str
    # One tuple for each error: column, code, and the row number or the count in its params.
    errors: tuple = ()
    previous_values: tuple | None = None  # Only of an updated row: the record before the update.


class CustomerTable:
    """The customers by id. No two customers share the value of a key."""

    def __init__(self, records):
        self.records = dict(enumerate(map(dict, records)))
        self.next_id = len(self.records)  # Ids of deleted records are not used again.

    def find_matches(self, row):
        """Return (key, record id) for each record with an equal key, in the order of the keys."""
        return [
            (key, record_id)
            for key in KEYS
            for record_id, record in self.records.items()
            if row[key] and record[key] == row[key]
        ]

    def add(self, row):
        record_id, self.next_id = self.next_id, self.next_id + 1
        self.records[record_id] = dict(row)
        return record_id

    def list_values(self):
        return sorted(map(get_values, self.records.values()), key=str)


def get_values(record):
    return tuple(record[field] for field in FIELDS)


def merge_row(row, record, empty_cells):
    """Return the record after an update by the row.

    An empty cell keeps the value of the record, or clears it if `empty_cells` is "clear".
    """
    fallback = record if empty_cells == "keep" else dict.fromkeys(FIELDS)
    return {field: row[field] or fallback[field] for field in FIELDS}


def check_rows(rows, table, policy):
    """Decide what becomes of each row, before any row is written.

    `rows` maps row numbers to (row, errors). The result maps each row number to a RowResult if
    the row is not to be written, to the id of the record that the row updates, or to None if
    the row is new.
    """
    decisions, kept = {}, []
    for number, (row, row_errors) in rows.items():
        if row_errors:
            decisions[number] = RowResult("failed", tuple((*error, None) for error in row_errors))
            continue
        matches = table.find_matches(row)
        record_ids = {record_id for _, record_id in matches}
        if matches and policy != "update":
            decisions[number] = RowResult(
                get_duplicate_outcome(policy), ((matches[0][0], "exists", None),)
            )
        elif len(record_ids) > 1:
            decisions[number] = RowResult("failed", ((None, "matches_several", len(record_ids)),))
        elif repeated := find_repeated_row(row, record_ids, kept):
            column, other_number = repeated
            decisions[number] = RowResult("failed", ((column, "repeats_row", other_number),))
        else:
            kept.append((number, row, record_ids))
            decisions[number] = min(record_ids, default=None)
    return decisions


def get_duplicate_outcome(policy):
    return "skipped" if policy == "skip" else "failed"


def find_repeated_row(row, record_ids, kept):
    """Find an earlier kept row with an equal key, or else one that updates the same record.

    Return the key (None for the same record) and the number of the earlier row; None if there
    is no such row.
    """
    for key in KEYS:
        for number, other, _ in kept:
            if row[key] and row[key] == other[key]:
                return key, number
    for number, _, other_record_ids in kept:
        if record_ids and record_ids == other_record_ids:
            return None, number
    return None


def apply_rows(rows, decisions, table, policy, batches, empty_cells):
    """Write the rows into the table, one batch of row numbers after another.

    The table may have changed since `check_rows`. Return the RowResult of every row.
    """
    results = {
        number: decision
        for number, decision in decisions.items()
        if isinstance(decision, RowResult)
    }
    updaters = {
        decision: number for number, decision in decisions.items() if isinstance(decision, int)
    }
    for batch in batches:
        new = [number for number in batch if number in decisions and decisions[number] is None]
        # All new rows of a batch are matched before the first of them is written.
        results |= {
            number: match_new_row(number, rows[number][0], table, updaters, policy)
            for number in new
        }
        for number in new:
            if results[number].outcome == "created":
                table.add(rows[number][0])
        for record_id, number in list(updaters.items()):
            if number in batch:
                results[number] = update_record(rows[number][0], record_id, table, empty_cells)
    return dict(sorted(results.items()))


def match_new_row(number, row, table, updaters, policy):
    """Match a row again that was new during the check.

    `updaters` maps ids of records to the numbers of the rows that update them. A row that
    matches one record by now is added to it.
    """
    matches = table.find_matches(row)
    record_ids = {record_id for _, record_id in matches}
    if not record_ids:
        return RowResult("created")
    if policy != "update":
        return RowResult(get_duplicate_outcome(policy), ((matches[0][0], "exists", None),))
    if len(record_ids) > 1:
        return RowResult("failed", ((None, "matches_several", len(record_ids)),))
    if (updater := updaters.setdefault(min(record_ids), number)) != number:
        return RowResult("failed", ((None, "repeats_row", updater),))
    return RowResult("updated")  # Preliminary: `update_record` replaces this result.


def update_record(row, record_id, table, empty_cells):
    if record_id not in table.records:
        return RowResult("failed", ((None, "record_deleted", None),))
    before = table.records[record_id]
    after = merge_row(row, before, empty_cells)
    if other_keys := [key for key, match_id in table.find_matches(after) if match_id != record_id]:
        return RowResult("failed", ((other_keys[0], "exists", None),))
    table.records[record_id] = after
    if after == before:
        return RowResult("unchanged")
    return RowResult("updated", previous_values=get_values(before))
