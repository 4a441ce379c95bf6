"""Neutralize text that a spreadsheet program would compute, and restore it in a corrected file.

A CSV file has no types, so a program that opens it may run a customer's "=HYPERLINK(…)" as a
formula (CWE-1236). An apostrophe in front of the text prevents that. It is removed again when a
file of failed rows is uploaded.

A program whose list separator is not the delimiter of the file splits "x;=1+1;y" into three cells,
although the text is quoted. So a formula after a separator inside a text gets an apostrophe too.
"""

from __future__ import annotations

import re

from imports.importer import Cell

# Matches apostrophes in front, too: text that had one already gets another one, and
# `restore_formula` removes only that.
FORMULA_PATTERN = re.compile(r"'*(?:[\t\r\n\x00]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
# Phone numbers and negative numbers compute nothing, and people should be able to read them.
HARMLESS_PATTERN = re.compile(r"\+\d[\d ()]*|-\d+(?:[.,]\d+)?", re.ASCII)
# Matches a whole run of separators, white space and quotation marks, and the apostrophes after it,
# in front of a formula. The lookbehind allows a match only at the start of a run: otherwise a long
# run would be searched again from each of its characters.
SEPARATED_FORMULA_PATTERN = re.compile(
    r"(?<![\s;,|\"])([\s;,|\"]+)('*)"
    r"(?=[=+\-@\uff1d\uff0b\uff0d\uff20])"
)
SEPARATORS = frozenset(";,|\t\r\n")


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet program may compute the text."""
    return FORMULA_PATTERN.match(text) is not None and HARMLESS_PATTERN.fullmatch(text) is None


def neutralize_formula(cell: Cell) -> Cell:
    """Return the cell with an apostrophe in front of each formula in it, else unchanged."""
    if not isinstance(cell, str):
        return cell
    text = SEPARATED_FORMULA_PATTERN.sub(_add_apostrophe, cell)
    return f"'{text}" if is_formula(cell) else text


def double_apostrophes(text: str) -> str:
    """Return the text for a cell of the type text, from which `restore_formula` makes `text` again.

    Such a cell computes nothing, so its formulas need no apostrophe. But `restore_formula` removes
    an apostrophe in front of a formula, so one that is there already gets another one.
    """
    protected = SEPARATED_FORMULA_PATTERN.sub(
        lambda match: _add_apostrophe(match) if match[2] else match[0], text
    )
    return f"'{protected}" if text.startswith("'") and is_formula(text) else protected


def restore_formula(cell: Cell) -> Cell:
    """Return the cell that `neutralize_formula` or `double_apostrophes` was given."""
    if not isinstance(cell, str):
        return cell
    text = SEPARATED_FORMULA_PATTERN.sub(_remove_apostrophe, cell)
    return text[1:] if text.startswith("'") and FORMULA_PATTERN.match(text) else text


def _add_apostrophe(match: re.Match[str]) -> str:
    run, apostrophes = match[1], match[2]
    if SEPARATORS.isdisjoint(run) or (not apostrophes and _is_harmless(match)):
        return match[0]
    return f"{run}{apostrophes}'"


def _remove_apostrophe(match: re.Match[str]) -> str:
    run, apostrophes = match[1], match[2]
    return match[0] if SEPARATORS.isdisjoint(run) else run + apostrophes[1:]


def _is_harmless(match: re.Match[str]) -> bool:
    """Whether the rest of the text, which begins like a formula, is only a number."""
    return HARMLESS_PATTERN.fullmatch(match.string, match.end()) is not None
