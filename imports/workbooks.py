"""Open a workbook for writing, with the optional package XlsxWriter."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from xlsxwriter import Workbook


class WorkbooksNotSupported(Exception):
    """XlsxWriter is not installed, so the site writes no workbooks."""


def has_workbooks() -> bool:
    """Return whether the site writes workbooks."""
    return find_spec("xlsxwriter") is not None


def create_workbook(file: BinaryIO, **options: bool) -> Workbook:
    """Return a new workbook that is written to `file` when it is closed.

    `options` are those of `xlsxwriter.Workbook`.

    Raises:
        WorkbooksNotSupported: XlsxWriter is not installed.
    """
    try:
        from xlsxwriter import Workbook
    except ModuleNotFoundError:
        raise WorkbooksNotSupported from None
    return Workbook(file, options)
