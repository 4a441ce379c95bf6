"""A model of the import in plain Python: dicts, one row after another, no sets and no queries.

It is written from the rules at the top of `imports/pipeline/duplicates.py` and shares no code with
the pipeline.
"""

from typing import NamedTuple

KEYS = ("shipping_mark", "email", "phone")
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


class Verdict(NamedTuple):
    """The expected result of one row."""

    outcome: str
    errors: tuple = ()  # Of tuples: column, code, and the row number or count that it names.
    previous_values: tuple | None = None  # Of the record that the row has updated.


class Table:
    """The customers in the table, each under an ID of the model, and their unique keys."""

    def __init__(self, records):
        self.records = dict(enumerate(map(dict, records)))
        self.next_id = len(self.records)  # The ID of a deleted record is never used again.

    def find_holders(self, row):
        """Return key and ID of each record that has a key of the row, in the order of the keys."""
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

    def list_records(self):
        return sorted(map(get_values, self.records.values()), key=str)


def get_values(record):
    return tuple(record[field] for field in FIELDS)


def merge(row, record, empty_cells):
    """Return the record after an update by the row; an empty cell keeps or removes a value."""
    old = record if empty_cells == "keep" else dict.fromkeys(FIELDS)
    return {field: row[field] or old[field] for field in FIELDS}


def check(rows, table, policy):
    """Return, by row number, the row's verdict, the ID of the record it takes, or None if new."""
    results, kept = {}, []
    for number, (row, row_errors) in rows.items():
        if row_errors:
            results[number] = Verdict("failed", tuple((*error, None) for error in row_errors))
            continue
        holders = table.find_holders(row)
        records = {record_id for _, record_id in holders}
        if holders and policy != "update":
            results[number] = Verdict(get_outcome(policy), ((holders[0][0], "exists", None),))
        elif len(records) > 1:
            results[number] = Verdict("failed", ((None, "matches_several", len(records)),))
        elif repeated := find_repeated_row(row, records, kept):
            column, other = repeated
            results[number] = Verdict("failed", ((column, "repeats_row", other),))
        else:
            kept.append((number, row, records))
            results[number] = min(records, default=None)
    return results


def get_outcome(policy):
    return "skipped" if policy == "skip" else "failed"


def find_repeated_row(row, records, kept):
    """Return the first key (None for the record) that an earlier kept row has, and that row."""
    for key in KEYS:
        for number, other, _ in kept:
            if row[key] and row[key] == other[key]:
                return key, number
    for number, _, taken in kept:
        if records and records == taken:
            return None, number
    return None


def apply(rows, results, table, policy, batches, empty_cells):
    """Return the verdicts of all rows after they are written to the table, batch by batch.

    `results` are those of `check`; the table may have changed since.
    """
    verdicts = {n: result for n, result in results.items() if isinstance(result, Verdict)}
    takers = {result: n for n, result in results.items() if isinstance(result, int)}
    for batch in batches:
        new = [n for n in batch if n in results and results[n] is None]
        verdicts |= {n: match_again(n, rows[n][0], table, takers, policy) for n in new}
        for number in new:
            if verdicts[number].outcome == "created":
                table.add(rows[number][0])
        for record_id, number in list(takers.items()):
            if number in batch:
                verdicts[number] = update(rows[number][0], record_id, table, empty_cells)
    return dict(sorted(verdicts.items()))


def match_again(number, row, table, takers, policy):
    """Return the verdict of a row that was new when it was checked. It may take a record now."""
    holders = table.find_holders(row)
    records = {record_id for _, record_id in holders}
    if not records:
        return Verdict("created")
    if policy != "update":
        return Verdict(get_outcome(policy), ((holders[0][0], "exists", None),))
    if len(records) > 1:
        return Verdict("failed", ((None, "matches_several", len(records)),))
    if (taker := takers.setdefault(min(records), number)) != number:
        return Verdict("failed", ((None, "repeats_row", taker),))
    return Verdict("updated")  # `update` decides later whether it is unchanged.


def update(row, record_id, table, empty_cells):
    if record_id not in table.records:
        return Verdict("failed", ((None, "gone", None),))
    previous = table.records[record_id]
    updated = merge(row, previous, empty_cells)
    others = [key for key, holder in table.find_holders(updated) if holder != record_id]
    if others:
        return Verdict("failed", ((others[0], "exists", None),))
    table.records[record_id] = updated
    if updated == previous:
        return Verdict("unchanged")
    return Verdict("updated", previous_values=get_values(previous))
