"""The customers that the outcomes of the imports imply, computed without the pipeline.

Everything that writes a record holds its lock until the commit. The time of a batch is taken after
it has written, and before it commits. So the order of these times is the order of the writes to
each record.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from customers.models import Customer
from imports.models import ImportBatch, ImportJob, ImportRow
from tests.oracle import FIELDS, KEYS, get_values, merge_row
from tests.soak.schedule import FileRow


class Change(NamedTuple):
    """What a person did to a record. `values` is None if the record was deleted."""

    at: datetime
    record_id: int
    values: dict[str, str | None] | None


class ReplayedImport(NamedTuple):
    job: ImportJob
    rows: dict[int, FileRow]


def find_contradictions(
    imports: list[ReplayedImport], changes: list[Change], *, may_blame: bool
) -> Iterator[str]:
    """Yield a sentence for each outcome, and for each record, that the others contradict.

    `may_blame` says whether so many processes were killed that undo may keep a record for it.
    """
    replay = Replay(may_blame)
    steps = [(change.at, 0, replay.change, (change,)) for change in changes]
    for each in imports:
        for batch in each.job.batches.exclude(applied_at=None):
            # The batches that a batch was split into have the same time.
            steps.append((batch.applied_at, batch.number, replay.apply, (each, batch)))
            if batch.undone_at is not None:
                steps.append((batch.undone_at, -batch.number, replay.undo, (each, batch)))
    for _, _, step, arguments in sorted(steps, key=lambda entry: entry[:2]):
        yield from step(*arguments)
    yield from replay.compare_with_table()
    for each in imports:
        yield from replay.compare_with_counts(each.job)


class Replay:
    def __init__(self, may_blame: bool) -> None:
        self.may_blame = may_blame
        self.records: dict[int, dict[str, str | None]] = {}
        self.undone: dict[UUID, Counter[str]] = defaultdict(Counter)

    def change(self, change: Change) -> Iterator[str]:
        if change.record_id not in self.records:
            yield f"A person changed the record {change.record_id}, which no row has created."
        elif change.values is None:
            del self.records[change.record_id]
        else:
            self.records[change.record_id] = change.values

    def apply(self, each: ReplayedImport, batch: ImportBatch) -> Iterator[str]:
        rows = list_rows(each.job, batch)
        for row in rows:
            yield from self._apply_row(each, row, each.rows[row.number].values)
        yield from self._find_equal_keys(f"After batch {batch.number} of {each.job.file_name}")

    def _apply_row(
        self, each: ReplayedImport, row: ImportRow, values: dict[str, str]
    ) -> Iterator[str]:
        name = f"Row {row.number} of {each.job.file_name}"
        if row.outcome is None and row.matched:
            yield f"{name} has matched a record and has no outcome."
        elif row.outcome is None:
            if int(row.target_id) in self.records:
                yield f"{name} has created a record that existed."
            self.records[int(row.target_id)] = values
        elif row.outcome in ("updated", "unchanged"):
            record = self.records.get(int(row.target_id))
            if record is None:
                yield f"{name} is {row.outcome}, and its record did not exist."
                return
            after = merge_row(values, record, each.job.empty_cells)
            if (row.outcome == "updated") != (after != record):
                yield f"{name} is {row.outcome}, and its record was {record}."
            if row.outcome == "updated" and tuple(row.previous_values) != get_values(record):
                yield f"{name} has kept {row.previous_values} of a record that was {record}."
            self.records[int(row.target_id)] = after

    def undo(self, each: ReplayedImport, batch: ImportBatch) -> Iterator[str]:
        """Take back what the rows of the batch have written, as their results say."""
        records = dict(self.records)
        not_free = []
        for row in list_rows(each.job, batch):
            if row.outcome not in (None, "updated"):
                continue
            values, record_id = each.rows[row.number].values, int(row.target_id)
            previous = dict(zip(FIELDS, row.previous_values or (), strict=False))
            written = merge_row(values, previous, each.job.empty_cells) if previous else values
            record = self.records.get(record_id)
            name = f"Row {row.number} of {each.job.file_name}"
            code = row.kept and row.kept["code"]
            self.undone[each.job.pk][get_undo_result(row)] += 1
            if code is None and record != written:
                yield f"{name} was undone, and its record was {record}, not {written}."
            elif code is None and row.outcome == "updated":
                records[record_id] = previous
            elif code is None:
                del records[record_id]
            elif code == "values_taken":
                not_free.append((name, record_id, previous))
            elif not self._may_keep(code, record, written):
                yield f"{name} is kept because of {code}, and its record was {record}."
        self.records = records
        for name, record_id, previous in not_free:
            others = [record for other, record in records.items() if other != record_id]
            if not any(record[key] == previous[key] for record in others for key in KEYS):
                yield f"{name} is kept, and its previous values are free."
        yield from self._find_equal_keys(f"After the undo of a batch of {each.job.file_name}")

    def _may_keep(self, code: str, record: dict | None, written: dict) -> bool:
        if code == "crashed_worker":
            return self.may_blame
        is_edited = record is not None and record != written
        return {"deleted": record is None, "edited": is_edited}.get(code, False)

    def compare_with_counts(self, job: ImportJob) -> Iterator[str]:
        counts = self.undone[job.pk]
        for result in ("removed", "restored", "kept"):
            if getattr(job, result) != counts[result]:
                yield (
                    f"{counts[result]} rows of {job.file_name} are {result}, and the count is "
                    f"{getattr(job, result)}."
                )

    def _find_equal_keys(self, moment: str) -> Iterator[str]:
        for key in KEYS:
            taken = [record[key] for record in self.records.values() if record[key]]
            if len(taken) != len(set(taken)):
                yield f"{moment}, two records have the same {key}."

    def compare_with_table(self) -> Iterator[str]:
        table = {
            record["pk"]: get_values(record) for record in Customer.objects.values("pk", *FIELDS)
        }
        expected = {pk: get_values(record) for pk, record in self.records.items()}
        if missing := sorted(expected.keys() - table.keys()):
            yield f"{len(missing)} records are missing: {missing[:5]}."
        if unexpected := sorted(table.keys() - expected.keys()):
            yield f"{len(unexpected)} records should not exist: {unexpected[:5]}."
        for pk in sorted(expected.keys() & table.keys()):
            if expected[pk] != table[pk]:
                yield f"The record {pk} should be {expected[pk]} and is {table[pk]}."


def list_rows(job: ImportJob, batch: ImportBatch) -> list[ImportRow]:
    return list(job.rows.filter(number__range=(batch.first_row, batch.last_row)).order_by("number"))


def get_undo_result(row: ImportRow) -> str:
    if row.kept:
        return "kept"
    return "restored" if row.outcome == "updated" else "removed"
