"""What becomes of a file, in plain Python: dicts, one row after another, no set, no query.

Written from the rules at the top of `imports/pipeline/duplicates.py`, and sharing no code with
what they are about.
"""

from typing import NamedTuple

KEYS = ("shipping_mark", "email", "phone")
FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


class Verdict(NamedTuple):
    outcome: str
    errors: tuple = ()  # (column, code, the row or the count it names), each.
    before: tuple | None = None  # What the record held that the row has changed.


class Table:
    """The customers, by a name of their own, and what they must never share."""

    def __init__(self, records):
        self.records = dict(enumerate(map(dict, records)))
        self.next_name = len(self.records)  # Never one that a deleted record has had.

    def holders(self, row):
        """Who holds which key of the row, in the order of the keys."""
        return [
            (key, name)
            for key in KEYS
            for name, record in self.records.items()
            if row[key] and record[key] == row[key]
        ]

    def add(self, row):
        name, self.next_name = self.next_name, self.next_name + 1
        self.records[name] = dict(row)
        return name

    def rows(self):
        return sorted(map(values, self.records.values()), key=str)


def values(record):
    return tuple(record[field] for field in FIELDS)


def merged(row, record, empty_cells):
    """The record as the row leaves it: an empty cell says nothing, or that there is nothing."""
    old = record if empty_cells == "keep" else dict.fromkeys(FIELDS)
    return {field: row[field] or old[field] for field in FIELDS}


def settled(rows, table, policy):
    """Each row's number with its verdict, or with the record it takes; None: it is new."""
    judged, kept = {}, []
    for number, (row, faults) in rows.items():
        if faults:
            judged[number] = Verdict("failed", tuple((*fault, None) for fault in faults))
            continue
        holders = table.holders(row)
        records = {name for _, name in holders}
        if holders and policy != "update":
            judged[number] = Verdict(*closed(policy), ((holders[0][0], "exists", None),))
        elif len(records) > 1:
            judged[number] = Verdict("failed", ((None, "matches_several", len(records)),))
        elif repeated := first_repeated(row, records, kept):
            column, other = repeated
            judged[number] = Verdict("failed", ((column, "repeats_row", other),))
        else:
            kept.append((number, row, records))
            judged[number] = min(records, default=None)
    return judged


def closed(policy):
    return ("skipped",) if policy == "skip" else ("failed",)


def first_repeated(row, records, kept):
    """The first key, or else the record, that an earlier kept row has taken; and that row."""
    for key in KEYS:
        for number, other, _ in kept:
            if row[key] and row[key] == other[key]:
                return key, number
    for number, _, taken in kept:
        if records and records == taken:
            return None, number
    return None


def written(rows, judged, table, policy, spans, empty_cells):
    """The verdicts of all rows, written span after span into the table as it is by now."""
    verdicts = {n: found for n, found in judged.items() if isinstance(found, Verdict)}
    takers = {found: n for n, found in judged.items() if isinstance(found, int)}
    for span in spans:
        new = [n for n in span if n in judged and judged[n] is None]
        verdicts |= {n: matched_again(n, rows[n][0], table, takers, policy) for n in new}
        for number in new:
            if verdicts[number].outcome == "created":
                table.add(rows[number][0])
        for record, number in list(takers.items()):
            if number in span:
                verdicts[number] = update(rows[number][0], record, table, empty_cells)
    return dict(sorted(verdicts.items()))


def matched_again(number, row, table, takers, policy):
    """The verdict on a row that was new when it was checked; some of those take a record now."""
    holders = table.holders(row)
    records = {name for _, name in holders}
    if not records:
        return Verdict("created")
    if policy != "update":
        return Verdict(*closed(policy), ((holders[0][0], "exists", None),))
    if len(records) > 1:
        return Verdict("failed", ((None, "matches_several", len(records)),))
    if (taker := takers.setdefault(min(records), number)) != number:
        return Verdict("failed", ((None, "repeats_row", taker),))
    return Verdict("updated")  # Or unchanged: `update` says.


def update(row, record, table, empty_cells):
    if record not in table.records:
        return Verdict("failed", ((None, "gone", None),))
    before = table.records[record]
    after = merged(row, before, empty_cells)
    if others := [key for key, name in table.holders(after) if name != record]:
        return Verdict("failed", ((others[0], "exists", None),))
    table.records[record] = after
    if after == before:
        return Verdict("unchanged")
    return Verdict("updated", before=values(before))
