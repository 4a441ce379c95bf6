"""An empty workbook to fill in, made from an importer's declaration.

The first sheet holds headers and nothing else, so that an example is never imported by
accident: examples stand on the second sheet, with what each column means. Headers are
English whatever the reader's language, for by them the columns are recognised.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from django.db import models
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from xlsxwriter import Workbook

from imports.importer import Column, Importer, InvalidValue
from imports.pipeline.field_cleaning import get_cleaner
from imports.pipeline.header_detection import get_header

LAST_ROW = 1_048_575  # Of a sheet, counted from 0.
LONGEST_LIST = 255  # Of the choices in Excel's list.
COLUMN_WIDTH, NOTE_WIDTH = 22, 70
# How Excel shows what is typed; all else is text, so that zeros and long codes keep their digits.
FORMATS = {
    models.DateTimeField: "yyyy-mm-dd hh:mm:ss",
    models.DateField: "yyyy-mm-dd",
    models.TimeField: "hh:mm:ss",
    models.IntegerField: "0",
    models.DecimalField: "General",
    models.FloatField: "General",
    models.BooleanField: "General",
}


def write_template(importer: type[Importer], file: BinaryIO) -> None:
    with Workbook(file, {"in_memory": True}) as book:
        _write_rows_sheet(book, importer)
        _write_notes_sheet(book, importer)


def _write_rows_sheet(book: Workbook, importer: type[Importer]) -> None:
    sheet = book.add_worksheet(_("Rows"))
    sheet.freeze_panes(1, 0)
    headers = {
        is_required: book.add_format(
            {"bold": True, "num_format": "@", "bg_color": "#FFE699" if is_required else "#E2EFDA"}
        )
        for is_required in (True, False)
    }
    for position, column in enumerate(importer.columns):
        shape = book.add_format({"num_format": get_number_format(_field_of(column, importer))})
        sheet.set_column(position, position, COLUMN_WIDTH, shape)
        sheet.write_string(0, position, get_header(column, importer), headers[column.required])
        if rule := make_data_validation(column, importer):
            sheet.data_validation(1, position, LAST_ROW, position, rule)


def _write_notes_sheet(book: Workbook, importer: type[Importer]) -> None:
    sheet = book.add_worksheet(_("Notes"))
    bold, text = book.add_format({"bold": True}), book.add_format({"text_wrap": True})
    heads = (
        _("Column"), _("Meaning"), _("Required"), _("Unique"), _("Example"),
        _("Other headers that are recognised"), _("Note"),
    )  # fmt: skip
    for place, head in enumerate(heads):
        sheet.write_string(0, place, head, bold)
    for row, column in enumerate(importer.columns, start=1):
        for place, said in enumerate(_notes_on(column, importer)):
            sheet.write_string(row, place, str(said), text)
    sheet.set_column(0, 4, COLUMN_WIDTH)
    sheet.set_column(5, 6, NOTE_WIDTH)
    last = len(importer.columns) + 2
    sheet.write_string(
        last, 0, _("Fill in the first sheet, one row per record. This sheet is not imported.")
    )


def _notes_on(column: Column, importer: type[Importer]) -> tuple[Any, ...]:
    return (
        get_header(column, importer),
        capfirst(importer.label(column.field)),
        _("yes") if column.required else "",
        _("yes") if column.unique else "",
        column.example,
        ", ".join(column.aliases),
        column.note,
    )


def _field_of(column: Column, importer: type[Importer]) -> models.Field:
    """The field whose values the column's cells hold."""
    field = importer.model._meta.get_field(column.field)
    return field.related_model._meta.get_field(column.lookup) if column.lookup else field


def get_number_format(field: models.Field) -> str:
    for kind, shown_as in FORMATS.items():  # The first that fits: a date and time is a date too.
        if isinstance(field, kind):
            return shown_as
    return "@"


def make_data_validation(column: Column, importer: type[Importer]) -> dict[str, Any] | None:
    """What Excel is to say while a cell is typed. It warns; what counts is the importer's rule."""
    field = _field_of(column, importer)
    rule = _choices(field) or _length(column, importer, field) or _anything(column)
    if rule is None:
        return None
    return rule | {
        "ignore_blank": not column.required,
        "error_type": "warning",
        "error_title": _("Check this value")[:32],
        "input_title": get_header(column, importer)[:32],
        "input_message": _input_message(column)[:255],
    }


def _choices(field: models.Field) -> dict[str, Any] | None:
    names = [str(value) for value, _label in field.flatchoices or ()]
    if isinstance(field, models.BooleanField):
        names = ["TRUE", "FALSE"]
    fits = names and len(",".join(names)) <= LONGEST_LIST and not any("," in n for n in names)
    return {"validate": "list", "source": names} if fits else None


def _length(column: Column, importer: type[Importer], field: models.Field) -> dict | None:
    limit = field.max_length
    if not limit or not _refuses_longer(column, importer, limit):
        return None
    return {
        "validate": "length",
        "criteria": "between",
        "minimum": int(column.required),
        "maximum": limit,
        "error_message": _("This value is longer than %(limit)s characters.") % {"limit": limit},
    }


def _refuses_longer(column: Column, importer: type[Importer], limit: int) -> bool:
    """Whether it is the length that counts: a rule may take "024 412 3456 " for ten digits."""
    if column.clean is None:
        return True
    try:
        get_cleaner(importer, column)("x" * (limit + 1))
    except InvalidValue as invalid:
        return invalid.code == "too_long"
    return False


def _anything(column: Column) -> dict[str, Any] | None:
    """No limit, but a message beside the cell; of a required one Excel asks for something."""
    if column.required:
        return {"validate": "length", "criteria": ">", "value": 0}
    return {"validate": "any"} if column.note or column.example else None


def _input_message(column: Column) -> str:
    told = [_("Required.") if column.required else _("May be empty.")]
    if column.unique:
        told.append(_("Each row must have a different value."))
    if column.example:
        told.append(_("Example: %(example)s") % {"example": column.example})
    return " ".join([*told, str(column.note)]).strip()
