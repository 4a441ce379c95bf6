"""Neutralize text that a spreadsheet program would compute, and restore it in a corrected file.

A CSV file has no types, so a program that opens it may run a customer's "=HYPERLINK(…)" as a
formula (CWE-1236). An apostrophe in front of the text prevents that. It is removed again when a
file of failed rows is uploaded.
"""

from __future__ import annotations

import re

from imports.importer import Cell

# Matches apostrophes in front, too: text that had one already gets another one, and
# `restore_formula` removes only that.
FORMULA_PATTERN = re.compile(r"'*(?:[\t\r\n\x00]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
# Phone numbers and negative numbers compute nothing, and people should be able to read them.
HARMLESS_PATTERN = re.compile(r"\+\d[\d ()]*|-\d+(?:[.,]\d+)?", re.ASCII)


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet program may compute the text."""
    return FORMULA_PATTERN.match(text) is not None and HARMLESS_PATTERN.fullmatch(text) is None


def neutralize_formula(cell: Cell) -> Cell:
    """Return the cell with an apostrophe in front if it holds a formula, else unchanged."""
    return f"'{cell}" if isinstance(cell, str) and is_formula(cell) else cell


def restore_formula(cell: Cell) -> Cell:
    """Return the cell that `neutralize_formula` was given."""
    if isinstance(cell, str) and cell.startswith("'") and FORMULA_PATTERN.match(cell):
        return cell[1:]
    return cell
