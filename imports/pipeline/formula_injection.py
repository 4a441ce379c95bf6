"""Text that a spreadsheet program would compute: made harmless where it is sent, and put back.

A CSV file has no types, so whatever opens it may take a customer's "=HYPERLINK(…)" for a
formula (CWE-1236). An apostrophe in front ends that; when a report of ours comes back it
goes again.
"""

from __future__ import annotations

import re

from imports.importer import Cell

# Apostrophes among the rest, so that one that was there before is told from ours.
FORMULA = re.compile(r"'*(?:[\t\r\n\x00]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
# A phone number and a negative number compute nothing, and are read by people.
HARMLESS = re.compile(r"\+\d[\d ()]*|-\d+(?:[.,]\d+)?", re.ASCII)


def is_formula(text: str) -> bool:
    return FORMULA.match(text) is not None and HARMLESS.fullmatch(text) is None


def neutralize_formula(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and is_formula(cell) else cell


def restore_formula(cell: Cell) -> Cell:
    """What `neutral` was given."""
    is_ours = isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell)
    return cell[1:] if is_ours else cell
