"""The read summary: what reading the file did that the user may not expect.

Each entry is a code with parameters, for example for columns that are ignored, text that is taken
as empty, or rows that repeat the header. The summary is stored with each staged chunk in the same
transaction, so it stays exact when a worker crashes. It holds no values of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

MAX_LISTED_ROWS = 20  # Of one entry. Its `count` counts all rows.


class ReadSummaryEntry(TypedDict):
    """A code of the read summary with its parameters.

    For a code about rows, `params` has `count` (number of rows) and `rows` (the first row
    numbers).
    """

    code: str
    params: dict[str, Any]


class ReadSummary:
    """The entries of one import, in the order in which their codes first occurred."""

    def __init__(self, entries: Iterable[ReadSummaryEntry] = ()) -> None:
        self._entries = {
            _make_key(entry["code"], entry["params"]): dict(entry["params"]) for entry in entries
        }

    def add(self, code: str, **params: Any) -> None:
        """Add an entry about the whole file."""
        self._entries[_make_key(code, params)] = params

    def add_rows(self, code: str, rows: Iterable[int], **params: Any) -> None:
        """Add row numbers to the entry with this code and these parameters.

        `rows` must be ascending and must not have been added before. `params` name what else is
        known, such as the column; codes with different parameters are separate entries.
        """
        numbers = list(rows)
        if not numbers:
            return
        key = _make_key(code, params)
        entry = self._entries.setdefault(key, {**params, "count": 0, "rows": []})
        entry["count"] += len(numbers)
        entry["rows"] = [*entry["rows"], *numbers][:MAX_LISTED_ROWS]

    def entries(self) -> list[ReadSummaryEntry]:
        return [{"code": key[0], "params": params} for key, params in self._entries.items()]


def _make_key(code: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
    subject = sorted((k, str(v)) for k, v in params.items() if k not in {"count", "rows"})
    return code, *subject
