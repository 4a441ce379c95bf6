"""Text cells with an address behind them: a link to `mailto:` or `tel:` under other words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MAX_TARGET_CHARS = 500
MAX_TEXT_CHARS = 1_000  # Of what a link shows; a longer text is no name of a link.
MAX_LINKS = 100_000  # Of a sheet. Excel itself keeps 65,530.
MAX_RANGES = 100  # Links of more than one cell.
MIN_PHONE_DIGITS = 5
SCHEMES = ("mailto:", "tel:")
FORMULA = re.compile(r'\s*(?:of:)?=?\s*HYPERLINK\(\s*"((?:[^"]|"")*)"\s*[,;)]', re.IGNORECASE)

# First row, last row, first column, last column; rows count from 1 and columns from 0.
Area = tuple[int, int, int, int]


def is_address(target: str | None) -> bool:
    """Whether the link leads to an e-mail address or to a phone number."""
    return target is not None and target.lower().startswith(SCHEMES)


def formula_target(formula: str) -> str | None:
    """The address that a formula HYPERLINK("mailto:…") leads to."""
    match = FORMULA.match(formula)
    target = match[1].replace('""', '"') if match else None
    return target if is_address(target) else None


def linked(cell: object, target: str) -> object:
    """The cell with its link, where the text is not itself the address."""
    if type(cell) is not str or len(cell) > MAX_TEXT_CHARS or len(target) > MAX_TARGET_CHARS:
        return cell
    if target.lower().startswith("mailto:"):
        is_shown = "@" in cell
    else:
        is_shown = sum(character.isdigit() for character in cell) >= MIN_PHONE_DIGITS
    return cell if is_shown else ["link", cell, target]


class Links:
    """The addresses behind the cells of a sheet."""

    def __init__(self, links: Iterable[tuple[Area, str]] = ()) -> None:
        self._cells: dict[int, dict[int, str]] = {}
        self._areas: list[tuple[Area, str]] = []
        for count, (area, target) in enumerate(links):
            if count < MAX_LINKS:
                self._add(area, target)

    def __bool__(self) -> bool:
        return bool(self._cells or self._areas)

    def _add(self, area: Area, target: str) -> None:
        top, bottom, left, right = area
        if (top, left) == (bottom, right):
            self._cells.setdefault(top, {})[left] = target
        elif len(self._areas) < MAX_RANGES:
            self._areas.append((area, target))

    def apply(self, number: int, cells: list) -> None:
        """Put the links into the cells of this row."""
        for column, target in self._of_row(number, len(cells)):
            if column < len(cells):
                cells[column] = linked(cells[column], target)

    def _of_row(self, number: int, width: int) -> Iterator[tuple[int, str]]:
        for (top, bottom, left, right), target in self._areas:
            if top <= number <= bottom:
                yield from ((column, target) for column in range(left, min(right + 1, width)))
        yield from self._cells.get(number, {}).items()
