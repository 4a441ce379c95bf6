"""Links behind text cells: an e-mail address or phone number that the cell does not show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeGuard

MAX_LINK_CHARS = 500
MAX_LINK_TEXT_CHARS = 1_000  # A longer text is not the label of a link.
MAX_LINKS = 100_000  # In one sheet. Excel itself keeps 65,530.
MAX_RANGES = 100  # Links that cover more than one cell.
MIN_PHONE_DIGITS = 5
CONTACT_SCHEMES = ("mailto:", "tel:")
HYPERLINK_FORMULA = re.compile(
    r'\s*(?:of:)?=?\s*HYPERLINK\(\s*"((?:[^"]|"")*)"\s*[,;)]', re.IGNORECASE
)

# First row, last row, first column, last column; rows count from 1 and columns from 0.
CellArea = tuple[int, int, int, int]


def is_contact_address(target: str | None) -> TypeGuard[str]:
    """Return whether the link target is an e-mail address or a phone number."""
    return target is not None and target.lower().startswith(CONTACT_SCHEMES)


def find_formula_target(formula: str) -> str | None:
    """Return the target of a formula HYPERLINK("mailto:…"), or None for any other formula."""
    match = HYPERLINK_FORMULA.match(formula)
    target = match[1].replace('""', '"') if match else None
    return target if is_contact_address(target) else None


def add_link(cell: object, target: str) -> object:
    """Return the cell with its link, unless the text of the cell is itself the address."""
    if type(cell) is not str or len(cell) > MAX_LINK_TEXT_CHARS or len(target) > MAX_LINK_CHARS:
        return cell
    if target.lower().startswith("mailto:"):
        is_displayed = "@" in cell
    else:
        is_displayed = sum(character.isdigit() for character in cell) >= MIN_PHONE_DIGITS
    return cell if is_displayed else ["link", cell, target]


class SheetLinks:
    """The link targets of the cells of a sheet.

    links: pairs of cells and target. Links beyond MAX_LINKS, and ranges beyond MAX_RANGES, are
        ignored.
    """

    def __init__(self, links: Iterable[tuple[CellArea, str]] = ()) -> None:
        self._cells: dict[int, dict[int, str]] = {}
        self._ranges: list[tuple[CellArea, str]] = []
        for count, (area, target) in enumerate(links):
            if count < MAX_LINKS:
                self._add(area, target)

    def __bool__(self) -> bool:
        return bool(self._cells or self._ranges)

    def _add(self, area: CellArea, target: str) -> None:
        top, bottom, left, right = area
        if (top, left) == (bottom, right):
            self._cells.setdefault(top, {})[left] = target
        elif len(self._ranges) < MAX_RANGES:
            self._ranges.append((area, target))

    def apply_to_row(self, number: int, cells: list[object]) -> None:
        """Replace the cells of this row that have a link."""
        for column, target in self._iter_row_links(number, len(cells)):
            if column < len(cells):
                cells[column] = add_link(cells[column], target)

    def _iter_row_links(self, number: int, width: int) -> Iterator[tuple[int, str]]:
        for (top, bottom, left, right), target in self._ranges:
            if top <= number <= bottom:
                yield from ((column, target) for column in range(left, min(right + 1, width)))
        yield from self._cells.get(number, {}).items()
