"""What a user should know of how the file was read, as codes with parameters.

An entry says what was done that the user did not ask for and may not expect: columns that are
ignored, text taken as empty, a row that repeats the header. It grows with each staged chunk, in
the same transaction, so it is exact whatever crashes. It holds no values of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

MAX_LISTED_ROWS = 20  # Of an entry: the first rows it is said of; `count` has them all.


class ReadSummaryEntry(TypedDict):
    """`params` has `count` and `rows` (the first row numbers) for what is said of rows."""

    code: str
    params: dict[str, Any]


class ReadSummary:
    """The entries of one import, in the order their codes were first met."""

    def __init__(self, entries: Iterable[ReadSummaryEntry] = ()) -> None:
        self._entries = {
            _key(entry["code"], entry["params"]): dict(entry["params"]) for entry in entries
        }

    def add(self, code: str, **params: Any) -> None:
        """Say something of the whole file."""
        self._entries[_key(code, params)] = params

    def add_rows(self, code: str, rows: Iterable[int], **params: Any) -> None:
        """Say something of these rows, ascending and not yet counted, in addition to earlier ones.

        `params` tell what else is known, such as the column; entries that differ in them are kept
        apart.
        """
        numbers = list(rows)
        if not numbers:
            return
        entry = self._entries.setdefault(_key(code, params), {**params, "count": 0, "rows": []})
        entry["count"] += len(numbers)
        entry["rows"] = [*entry["rows"], *numbers][:MAX_LISTED_ROWS]

    def entries(self) -> list[ReadSummaryEntry]:
        return [{"code": key[0], "params": params} for key, params in self._entries.items()]


def _key(code: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
    said_of = sorted((k, str(v)) for k, v in params.items() if k not in {"count", "rows"})
    return code, *said_of
