"""The template: an empty workbook to fill in, made from the columns of an importer.

The first sheet holds only the headers, so that no example is imported by accident. The second
sheet describes the columns and has the examples. The headers are English in every language, because
the import recognises the columns by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from django.db import models
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from imports.choices import describe_choices, list_choice_names, list_choices
from imports.importer import Column, Importer, InvalidValue, get_value_fields
from imports.pipeline.field_cleaning import get_cleaner
from imports.pipeline.header_detection import get_header
from imports.workbooks import create_workbook

if TYPE_CHECKING:
    from xlsxwriter import Workbook

LAST_ROW_INDEX = 1_048_575  # Of a sheet; the first index is 0.
MAX_CHOICES_CHARS = 255  # Excel's limit for the choices of a list, with the commas.
MAX_TITLE_CHARS = 32  # Excel's limits for the messages of a validation.
MAX_MESSAGE_CHARS = 255
COLUMN_WIDTH, NOTE_WIDTH = 22, 70
# The number formats for the types of fields. All other fields get the text format, so that a code
# keeps its leading zeros and all of its digits. Order matters: DateTimeField is a DateField.
NUMBER_FORMATS = {
    models.DateTimeField: "yyyy-mm-dd hh:mm:ss",
    models.DateField: "yyyy-mm-dd",
    models.TimeField: "hh:mm:ss",
    models.IntegerField: "0",
    models.DecimalField: "General",
    models.FloatField: "General",
    models.BooleanField: "General",
}


def write_template(importer: type[Importer], file: BinaryIO) -> None:
    """Write the template to `file`, with its notes in the active language.

    Raises:
        WorkbooksNotSupported: XlsxWriter is not installed.
    """
    with create_workbook(file, in_memory=True) as book:
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
        cell_format = book.add_format({"num_format": _get_column_format(column, importer)})
        sheet.set_column(position, position, COLUMN_WIDTH, cell_format)
        sheet.write_string(0, position, get_header(column, importer), headers[column.required])
        if rule := make_data_validation(column, importer):
            sheet.data_validation(1, position, LAST_ROW_INDEX, position, rule)


def _write_notes_sheet(book: Workbook, importer: type[Importer]) -> None:
    sheet = book.add_worksheet(_("Notes"))
    bold, text = book.add_format({"bold": True}), book.add_format({"text_wrap": True})
    headers = (
        _("Column"),
        _("Meaning"),
        _("Required"),
        _("Unique"),
        _("Example"),
        _("Other headers that are recognised"),
        _("Note"),
    )
    for position, header in enumerate(headers):
        sheet.write_string(0, position, header, bold)
    for row, column in enumerate(importer.columns, start=1):
        for position, note in enumerate(_describe_column(column, importer)):
            sheet.write_string(row, position, note, text)
    sheet.set_column(0, 4, COLUMN_WIDTH)
    sheet.set_column(5, 6, NOTE_WIDTH)
    row_below = len(importer.columns) + 2
    sheet.write_string(
        row_below, 0, _("Fill in the first sheet, one row per record. This sheet is not imported.")
    )


def _describe_column(column: Column, importer: type[Importer]) -> tuple[str, ...]:
    return (
        get_header(column, importer),
        capfirst(importer.label(column.field)),
        _("yes") if column.required else "",
        _("yes") if column.unique else "",
        column.example,
        ", ".join(column.aliases),
        _describe_note(column, importer),
    )


def _describe_note(column: Column, importer: type[Importer]) -> str:
    """Return the note of the column, and the choices of its field."""
    field = get_value_fields(importer, column)[0]
    sentences = [str(column.note)]
    if column.clean is None and (choices := describe_choices(field)):
        sentences.append(_("One of: %(choices)s.") % {"choices": choices})
    return " ".join(filter(None, sentences))


def _get_column_format(column: Column, importer: type[Importer]) -> str:
    """Return Excel's number format for the cells of a column."""
    fields = get_value_fields(importer, column)
    has_labels = fields[0].choices and not isinstance(fields[0], models.BooleanField)
    return "@" if len(fields) > 1 or has_labels else get_number_format(fields[0])


def get_number_format(field: models.Field[Any, Any]) -> str:
    """Return Excel's number format for the values of a field."""
    for field_type, number_format in NUMBER_FORMATS.items():
        if isinstance(field, field_type):
            return number_format
    return "@"


def make_data_validation(column: Column, importer: type[Importer]) -> dict[str, Any] | None:
    """Return the validation of Excel for a column, as XlsxWriter takes it, or None.

    Excel only warns. The importer validates the cells again.
    """
    fields = get_value_fields(importer, column)
    rule = None
    if len(fields) == 1:
        rule = _validate_choices(column, fields[0])
        rule = rule or _validate_length(column, importer, fields[0])
    rule = rule or _allow_any(column)
    if rule is None:
        return None
    return rule | {
        "ignore_blank": not column.required,
        "error_type": "warning",
        "error_title": _("Check this value")[:MAX_TITLE_CHARS],
        "input_title": get_header(column, importer)[:MAX_TITLE_CHARS],
        "input_message": _describe_input(column)[:MAX_MESSAGE_CHARS],
    }


def _validate_choices(column: Column, field: models.Field[Any, Any]) -> dict[str, Any] | None:
    choices: list[str] = []
    if listed := list_choices(field):  # A `clean` function may not know the labels.
        values = [str(value) for value, _label in listed]
        choices = list_choice_names(field) if column.clean is None else values
    elif isinstance(field, models.BooleanField):
        choices = ["TRUE", "FALSE"]
    if not choices or len(",".join(choices)) > MAX_CHOICES_CHARS:
        return None
    if any("," in choice for choice in choices):  # Excel would split it into two choices.
        return None
    return {"validate": "list", "source": choices}


def _validate_length(
    column: Column, importer: type[Importer], field: models.Field[Any, Any]
) -> dict[str, Any] | None:
    limit = field.max_length
    if not limit or not _has_length_limit(column, importer, limit):
        return None
    return {
        "validate": "length",
        "criteria": "between",
        "minimum": int(column.required),
        "maximum": limit,
        "error_message": _("This value is longer than %(limit)s characters.") % {"limit": limit},
    }


def _has_length_limit(column: Column, importer: type[Importer], limit: int) -> bool:
    """Whether the column rejects every text that is longer than its field.

    A function of the column may shorten a text: "024 412 3456 " has only ten digits.
    """
    if column.clean is None and column.prepare is None:
        return True
    try:
        get_cleaner(importer, column)("x" * (limit + 1))
    except InvalidValue as error:
        return error.code == "too_long"
    except Exception:  # A bug in the function must not take the template away.
        return False
    return False


def _allow_any(column: Column) -> dict[str, Any] | None:
    """Return a validation without a limit, which shows the message for the input."""
    if column.required:
        return {"validate": "length", "criteria": ">", "value": 0}
    return {"validate": "any"} if column.note or column.example else None


def _describe_input(column: Column) -> str:
    sentences = [_("Required.") if column.required else _("May be empty.")]
    if column.unique:
        sentences.append(_("Each row must have a different value."))
    if column.example:
        sentences.append(_("Example: %(example)s") % {"example": column.example})
    return " ".join([*sentences, str(column.note)]).strip()
