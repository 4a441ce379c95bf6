"""Words for codes: what went wrong and what to do about it.

Codes are what is stored and sent; pages render these in the reader's language, programs
and logs get the English.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from imports.importer import get_importer_or_placeholder
from imports.statuses import Outcome

JOB_MESSAGES = {
    "empty_file": _("The file is empty. Choose the file that holds your rows."),
    "not_a_spreadsheet": _(
        "This is not a spreadsheet we can read. Save it as an Excel workbook (.xlsx) or as CSV."
    ),
    "encrypted_file": _("The file is protected by a password. Save it without one."),
    "compressed_file": _("This is a compressed archive. Unpack it and upload the file inside."),
    "html_file": _(
        "This is a web page, whatever its name says. Open it in your spreadsheet program and "
        "save it as .xlsx."
    ),
    "xml_spreadsheet": _(
        "This is an XML Spreadsheet of Excel 2003. Open it in Excel and save it as .xlsx."
    ),
    "numbers_file": _("This is a file of Apple Numbers. Export it to Excel, and upload that."),
    "pdf_file": _("This is a PDF. Export the table it was made of as .xlsx or CSV."),
    "image_file": _("This is a picture. Upload the spreadsheet itself, as .xlsx or CSV."),
    "vcard_file": _(
        "This is a file of contacts (vCard). Import it into your address book or spreadsheet "
        "program, and export it from there as CSV."
    ),
    "calendar_file": _(
        "This is a calendar. Upload the spreadsheet that holds your rows, as .xlsx or CSV."
    ),
    "email_file": _(
        "This is an e-mail message. Save the spreadsheet attached to it, and upload that."
    ),
    "web_archive": _(
        "This is a web page saved with its pictures, whatever its name says. Open it in your "
        "spreadsheet program and save it as .xlsx."
    ),
    "sql_file": _(
        "These are commands for a database. Export the table itself as CSV, and upload that."
    ),
    "xml_file": _("This is an XML file. Open it in your spreadsheet program and save it as .xlsx."),
    "yaml_file": _("This is a YAML file. Save the same rows as CSV, and upload that."),
    "log_file": _(
        "This is a log file. Upload the spreadsheet that holds your rows, as .xlsx or CSV."
    ),
    "text_document": _(
        "This is a text document. Copy its table into a spreadsheet, and save that as .xlsx."
    ),
    "damaged_file": _("The file is damaged. Open it in your spreadsheet program and save it anew."),
    "unreadable_file": _("The file cannot be read. Save it anew as .xlsx or as CSV."),
    "unknown_encoding": _("The text of this file cannot be read. Save it as CSV in UTF-8."),
    "wrong_encoding": _(
        "The file is not text in the encoding that was chosen. Choose another one, as utf-8 or "
        "windows-1252, or none, so that it is found."
    ),
    "wrong_delimiter": _(
        "A delimiter is one character that is no letter, digit, quote or line break: a comma, "
        "semicolon, tab or bar. Choose one of them, or none, so that it is found."
    ),
    "no_such_sheet": _(
        "The workbook has no sheet of the name that was chosen. Choose one that it has, or none, "
        "so that the sheet with the rows is found."
    ),
    "no_sheet": _("The workbook has no sheet with rows."),
    "no_rows": _(
        "No rows were found: the file is blank, or nothing stands below its headers. Choose the "
        "file or the sheet that holds your rows."
    ),
    "too_large_inflated": _("The workbook unpacks to more than we read. Split it, or save as CSV."),
    "too_many_rows": _("The file has too many rows. Split it into several files."),
    "too_many_columns": _("The file has too many columns. Remove the ones you do not need."),
    "cell_too_long": _("A cell of the file is longer than a spreadsheet allows."),
    "too_many_merged": _("The sheet has too many merged cells. Unmerge them."),
    "unclosed_quote": _(
        "The quotation mark that row %(row)s opens is never closed, so the rows below cannot be "
        "told apart. Close or remove it."
    ),
    "row_too_long": _("Row %(row)s of the file is longer than we read. Split or shorten it."),
    "too_much_memory": _(
        "Reading this file needs more memory than we allow. Delete the empty rows and columns "
        "that are formatted, or save it as CSV."
    ),
    "too_slow_to_read": _("Reading this file takes too long. Split it, or save it as CSV."),
    "crashed_reader": _("Reading this file failed three times. Save it anew, or as CSV."),
    "file_gone": _("The uploaded file is no longer there. Upload it again."),
    "unknown_importer": _("What this file is imported by is no longer installed."),
    "missing_columns": _(
        "These columns were not recognised: %(columns)s. Say which columns of the file they are, "
        "or give them these names and upload it again."
    ),
    "refused_by_database": _("The database refused the file's values (%(sqlstate)s)."),
}
ROW_MESSAGES = {
    "required": _("This must not be empty. Fill it in, or delete the row."),
    "invalid": _("This value cannot be read. Type it the way the column's other rows have it."),
    "invalid_number": _("This is not a number. Write it like 12 or 12.50, without a unit."),
    "invalid_whole_number": _("This is not a whole number. Write it like 12."),
    "invalid_date": _("This is not a date. Write it like 2026-01-31."),
    "invalid_time": _("This is not a time of day. Write it like 14:30."),
    "invalid_moment": _("This is not a date with its time. Write it like 2026-01-31 14:30."),
    "invalid_yes_or_no": _("This is neither yes nor no. Write yes or no."),
    "ambiguous": _("This may mean %(first)s or %(second)s. Write the one that is meant."),
    "invalid_choice": _("This is none of the values allowed here. Write one of: %(choices)s."),
    "too_long": _("This is too long. Shorten it to at most %(limit)s characters."),
    "too_many_decimals": _("This has too many decimals. Write it with at most %(limit)s."),
    "too_many_digits": _("This has too many digits. It must have at most %(limit)s."),
    "too_small": _("This is too small. It must be at least %(limit)s."),
    "too_large": _("This is too large. It must be at most %(limit)s."),
    "not_found": _(
        "There is no record of this name. Check how it is written, or create that record first."
    ),
    "forbidden_character": _("It holds a character that cannot be stored. Type it again by hand."),
    "formula_without_value": _(
        "This cell holds a formula without its result. Open the file in your spreadsheet program "
        "and save it, or type the value itself."
    ),
    "date_in_text": _(
        "This cell holds a date, not text. It shows %(shown)s, which is probably the code that was "
        "typed before the spreadsheet program turned it into a date. Format the column as text, "
        "then type the code again."
    ),
    "time_in_text": _(
        "This cell holds a time, not text. It shows %(shown)s, which is probably the code that was "
        "typed before the spreadsheet program turned it into a time. Format the column as text, "
        "then type the code again."
    ),
    "percentage_in_text": _(
        "This cell holds a percentage, shown as %(shown)s. Format the column as text, then type "
        "the value again."
    ),
    "fraction_in_text": _(
        "This cell holds a fraction, shown as %(shown)s. Format the column as text, then type the "
        "value again."
    ),
    "exponent_in_text": _(
        "This cell holds a number with an exponent, shown as %(shown)s: the spreadsheet program "
        "has changed what was typed. Format the column as text, then type the value again."
    ),
    "digits_lost": _(
        "The last digits of this number are lost, because a spreadsheet keeps fifteen: it shows "
        "%(shown)s. Format the column as text, then type the whole value again."
    ),
    "yes_or_no_in_text": _(
        "This cell holds the value %(shown)s, not text. Format the column as text, then type the "
        "value again."
    ),
    "garbled_text": _(
        "This text was saved in the wrong encoding: it is probably %(probably)s. Type it again, "
        "or export the file anew as CSV in UTF-8."
    ),
    "damaged_characters": _(
        "Some characters of this text cannot be read. Type it again, or export the file anew as "
        "CSV in UTF-8."
    ),
    "several_values": _(
        "Several columns of the file fill this field, and they hold different values: %(values)s. "
        "Keep one of them in this row."
    ),
    "rule_failed": _(
        "This value could not be checked (%(error)s). Tell whoever looks after this site."
    ),
    "repeats_row": _(
        "It repeats row %(row)s of the same file. Keep one of the two, or correct what they share."
    ),
    "exists": _(
        "It exists already. Delete the row, or correct this value if it is somebody else's."
    ),
    "matches_several": _(
        "Its values belong to %(count)s different existing records. Look these up, and correct "
        "the value that is somebody else's."
    ),
    "gone": _("The record it matched has been deleted meanwhile. Import the row again."),
    "refused_by_database": _(
        "The database refused this row (%(sqlstate)s). Compare its values with a row that was "
        "accepted."
    ),
    "crashed_worker": _(
        "Writing this row failed again and again. Check its values, then import it alone."
    ),
}
LOOKUP_MESSAGE = _(
    "There is no %(record)s with this %(key)s. Check how it is written, or create the "
    "%(record)s first."
)
# Where one row's sentence names what is true of that row alone.
CAUSE_MESSAGES = {
    "repeats_row": _("It repeats an earlier row of the same file."),
    "matches_several": _("Its values belong to several existing records."),
    "ambiguous": _("It may mean two different values. Write the one that is meant."),
}
# Of a row that was skipped: what to do about one that was refused would mislead.
SKIPPED_ROW_MESSAGES = {
    "exists": _(
        "It exists already. What exists stays as it is; there is something to correct only if this "
        "value is somebody else's."
    ),
}
# What the user should know of how a file was read; `count` and `rows` are the rows it is said of.
READ_SUMMARY_MESSAGES = {
    "columns_ignored": _("No field takes these columns, so they were ignored: %(columns)s."),
    "hidden_columns_ignored": _(
        "These columns are hidden and were ignored, because another column holds the same field: "
        "%(columns)s."
    ),
    "columns_joined": _(
        "%(column)s is taken from the first of these columns that is filled: %(columns)s."
    ),
    "header_in_two_rows": _("The names of the columns were read from rows %(first)s and %(last)s."),
    "second_reader": _(
        "Another program than the usual one had to open this workbook. It reads cells that show "
        "an error as empty. Check those columns, or save the workbook as .xlsx and upload it again."
    ),
    "binary_workbook": _(
        "Of a binary workbook (.xlsb) only values can be read: cells that show an error count as "
        "empty, and hidden rows as visible."
    ),
    "other_encoding": _(
        "These rows are not written in the encoding of the file (%(encoding)s) and were read as "
        "%(second_encoding)s. Check their accents."
    ),
    "undecodable_characters": _(
        "These rows hold characters that could not be read in any encoding. Where a field takes "
        "them, the row fails."
    ),
    "hidden_row": _("These rows are hidden in the workbook. They are imported like the others."),
    "hidden_row_skipped": _("These rows are hidden in the workbook and were left out."),
    "repeated_header": _("These rows repeat the names of the columns and were left out."),
    "total_row": _("These rows hold totals, not records, and were left out."),
    "signature_row": _("These rows hold a signature or a remark, not records, and were left out."),
    "cell_shortened": _(
        "These rows have a cell that is too long for a spreadsheet. Only its beginning is kept."
    ),
    "placeholder_as_empty": _(
        "%(column)s: a text that stands for no value, such as n/a, was taken as empty."
    ),
    "first_of_several_values": _(
        "%(column)s: the cell holds several values, and the first was taken."
    ),
    "link_taken": _("%(column)s: the address behind the link was taken instead of its text."),
}
# The entries of a read summary that a reader should see first, the most important first.
NEEDS_ATTENTION = (
    "other_encoding",
    "hidden_row",
    "hidden_row_skipped",
    "second_reader",
    "cell_shortened",
    "total_row",
    "signature_row",
    "repeated_header",
)
MAX_ROW_NUMBERS = 5  # Of an entry, in its text.
NOTHING_IMPORTED = _("Nothing was imported: every row failed.")
# What is wrong with a person's word on the columns.
MAPPING_MESSAGES = {
    "unknown_field": _("Nothing is filled from %(field)s. These are: %(fields)s."),
    "unknown_column": _(
        "The file has no column %(column)s. Give a header as it stands in the file, or a number "
        "from 0 to %(last)s."
    ),
    "invalid_column": _("Give a header, the number of a column, or null to leave it out."),
    "several_columns": _(
        "Several columns are headed %(column)s. Give the number of the one you mean: %(indexes)s."
    ),
    "used_twice": _(
        "Column %(column)s is taken for %(field)s already. Give %(field)s another, or null."
    ),
    "column_needed": _("No row can be imported without it. Say which column it is."),
}


def describe_mapping_problem(code: str, params: Mapping[str, Any]) -> str:
    return _fill(MAPPING_MESSAGES[code], params)


def describe_job_error(code: str, params: Mapping[str, Any] | None) -> str:
    return _fill(JOB_MESSAGES.get(code, code), params)


def describe_job_error_with_labels(
    importer: str, code: str, params: Mapping[str, Any] | None
) -> str:
    """The sentence for a job's error, with columns as a reader knows them."""
    shown = dict(params or {})
    if "columns" in shown:
        known = get_importer_or_placeholder(importer)
        shown["columns"] = [capfirst(known.label(field)) for field in shown["columns"]]
    return describe_job_error(code, shown)


def describe_read_summary_entry(entry: Mapping[str, Any], importer: str) -> str:
    """The sentence for one entry of a read summary, with its column as a reader knows it."""
    params, known = dict(entry["params"]), get_importer_or_placeholder(importer)
    if params.get("column") in {column.field for column in known.columns}:
        params["column"] = capfirst(known.label(params["column"]))
    return _fill(READ_SUMMARY_MESSAGES.get(entry["code"], entry["code"]), params)


class ReadNote(TypedDict):
    """One entry of a read summary in the reader's language."""

    code: str
    sentence: str
    rows: str  # "Rows 2, 57 and 18 more"; "" where the entry is about the whole file.
    needs_attention: bool


def describe_read_summary(entries: Iterable[Mapping[str, Any]], importer: str) -> list[ReadNote]:
    """Return the entries in words: those that need attention first, the others in their order."""
    notes = [
        ReadNote(
            code=entry["code"],
            sentence=describe_read_summary_entry(entry, importer),
            rows=_of_row_numbers(entry["params"]),
            needs_attention=entry["code"] in NEEDS_ATTENTION,
        )
        for entry in entries
    ]
    places = {code: place for place, code in enumerate(NEEDS_ATTENTION)}
    return sorted(notes, key=lambda note: places.get(note["code"], len(places)))


def _of_row_numbers(params: Mapping[str, Any]) -> str:
    """Name the first rows of an entry, and say how many more there are."""
    numbers = params.get("rows", [])[:MAX_ROW_NUMBERS]
    if not numbers:
        return ""
    count = params.get("count", len(numbers))
    named, more = ", ".join(map(str, numbers)), count - len(numbers)
    if more > 0:
        words = ngettext("Rows %(rows)s and %(n)s more", "Rows %(rows)s and %(n)s more", more)
        return words % {"rows": named, "n": intcomma(more)}
    return ngettext("Row %(rows)s", "Rows %(rows)s", count) % {"rows": named}


def describe_row_error(
    error: Mapping[str, Any], importer: str, outcome: str = Outcome.FAILED
) -> str:
    """The sentence for one error of a row with this outcome."""
    if outcome == Outcome.SKIPPED and (words := SKIPPED_ROW_MESSAGES.get(error["code"])):
        return str(words)
    known = get_importer_or_placeholder(importer)
    if error["code"] == "not_found" and (key := known.describe_lookup(error["column"])):
        return _fill(LOOKUP_MESSAGE, key)
    words = {**ROW_MESSAGES, **known.messages}
    return _fill(words.get(error["code"], error["code"]), error["params"])


def describe_cause(error: Mapping[str, Any], importer: str, outcome: str) -> str:
    """The sentence for all rows with this outcome for the reason of this one."""
    words = CAUSE_MESSAGES.get(error["code"])
    return str(words) if words else describe_row_error(error, importer, outcome)


def _fill(words: Any, params: Mapping[str, Any] | None) -> str:
    shown = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in (params or {}).items()
    }
    text = str(words)
    # A parameter that is not there, in an error of an older release, must not cost the page.
    return text % defaultdict(lambda: "…", shown) if "%(" in text else text
