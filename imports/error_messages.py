"""The sentences for error codes and read summary codes: what is wrong, and what to do.

The database, the REST API and the logs carry codes with parameters. Pages show the sentences in
the user's language; the REST API and the logs use English.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypedDict

from django.apps import apps
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Field
from django.template.defaultfilters import filesizeformat
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from imports.choices import describe_choices
from imports.importer import Importer, get_importer_or_placeholder, get_value_field
from imports.statuses import OnDuplicate, Outcome, StalledReason
from imports.validator_errors import translate_message

# Errors of a whole import.
JOB_MESSAGES = {
    "empty_file": _("The file is empty. Choose a file that contains rows."),
    "not_a_spreadsheet": _(
        "The file is not a supported spreadsheet. Save it as an Excel workbook (.xlsx) or as CSV."
    ),
    "encrypted_file": _("The file is protected by a password. Save it without a password."),
    "compressed_file": _(
        "The file is a compressed archive. Extract it and upload the file inside."
    ),
    "html_file": _(
        "The file is a web page, not a spreadsheet. Open it in your spreadsheet program and save "
        "it as .xlsx."
    ),
    "xml_spreadsheet": _(
        "The file is an XML Spreadsheet (Excel 2003). Open it in Excel and save it as .xlsx."
    ),
    "numbers_file": _(
        "The file is an Apple Numbers file. Export it to Excel and upload the exported file."
    ),
    "pdf_file": _("The file is a PDF. Export the original table as .xlsx or CSV."),
    "image_file": _("The file is an image. Upload the spreadsheet itself as .xlsx or CSV."),
    "vcard_file": _(
        "The file is a contacts file (vCard). Import it into your address book or spreadsheet "
        "program and export it from there as CSV."
    ),
    "calendar_file": _(
        "The file is a calendar. Upload the spreadsheet that contains your rows, as .xlsx or CSV."
    ),
    "email_file": _("The file is an e-mail message. Save the attached spreadsheet and upload it."),
    "web_archive": _(
        "The file is a web page archive, not a spreadsheet. Open it in your spreadsheet program "
        "and save it as .xlsx."
    ),
    "sql_file": _(
        "The file contains database commands (SQL). Export the table itself as CSV and upload that "
        "file."
    ),
    "xml_file": _(
        "The file is an XML file. Open it in your spreadsheet program and save it as .xlsx."
    ),
    "yaml_file": _("The file is a YAML file. Save the same rows as CSV and upload that file."),
    "log_file": _(
        "The file is a log file. Upload the spreadsheet that contains your rows, as .xlsx or CSV."
    ),
    "text_document": _(
        "The file is a text document. Copy its table into a spreadsheet and save it as .xlsx."
    ),
    "damaged_file": _(
        "The file is damaged. Open it in your spreadsheet program and save it again."
    ),
    "xls_not_supported": _(
        "This site cannot read the old format .xls. Open the file in your spreadsheet program and "
        "save it as .xlsx."
    ),
    "unreadable_file": _("The file cannot be read. Save it again as .xlsx or CSV."),
    "unknown_encoding": _(
        "The character encoding of the file could not be detected. Save the file as CSV in UTF-8."
    ),
    "wrong_encoding": _(
        "The file cannot be read with the selected encoding. Choose another one, for example utf-8 "
        "or windows-1252, or none to detect it automatically."
    ),
    "wrong_delimiter": _(
        "The delimiter must be one character that is not a letter, digit, quotation mark or line "
        "break, for example a comma, semicolon, tab or vertical bar. Choose one of these, or none "
        "to detect it automatically."
    ),
    "no_such_sheet": _(
        "The workbook has no sheet with the selected name. Choose one of its sheets, or none to "
        "detect the sheet automatically."
    ),
    "no_sheet": _("The workbook has no sheet with rows. Upload a workbook that contains rows."),
    "no_rows": _(
        "No rows were found. The file is empty or contains only headers. Choose the file or the "
        "sheet that contains your rows."
    ),
    "too_large_inflated": _(
        "The workbook is too large after decompression. Split it, or save it as CSV."
    ),
    "too_many_rows": _("The file has too many rows. Split it into several files."),
    "too_many_stored_rows": _(
        "Your imports keep %(stored)s rows, and the limit is %(limit)s. Delete the file and the "
        "rows of imports that you no longer need, then retry this import."
    ),
    "too_many_columns": _(
        "The file has too many columns. Remove the columns that you do not need."
    ),
    "cell_too_long": _("A cell of the file is longer than a spreadsheet allows. Shorten the cell."),
    "too_many_merged": _("The sheet has too many merged cells. Unmerge them."),
    "unclosed_quote": _(
        "The quotation mark opened in row %(row)s is never closed, so the rows below it cannot be "
        "separated. Close or remove the quotation mark."
    ),
    "row_too_long": _("Row %(row)s of the file is too long. Split or shorten it."),
    "too_much_memory": _(
        "Reading this file needs more memory than allowed. Delete empty rows and columns that are "
        "formatted, or save the file as CSV."
    ),
    "too_slow_to_read": _("Reading this file takes too long. Split it, or save it as CSV."),
    "crashed_reader": _("Reading this file failed three times. Save it again, or save it as CSV."),
    "file_deleted": _("The uploaded file no longer exists. Upload it again."),
    "unknown_importer": _(
        "The worker does not know the importer of this file. If it was added just now, the workers "
        "must be restarted. Contact an administrator, and then retry the import."
    ),
    "values_failed": _(
        "The importer could not compute the values of fields that no column fills (%(error)s). "
        "Contact an administrator."
    ),
    "wrong_values_result": _(
        "The function %(rule)s returned a value of the type %(returned)s, but it must return a "
        "dictionary. Contact an administrator: the importer must be corrected."
    ),
    "invalid_values": _(
        "The importer has no valid values for these fields, which no column fills: %(fields)s. "
        "Contact an administrator."
    ),
    "missing_columns": _(
        "These columns were not recognised: %(columns)s. Select the matching columns of the file, "
        "or rename them in the file and upload it again."
    ),
    "lookup_failed": _(
        "The records for the column %(columns)s could not be looked up (%(error)s). "
        "Contact an administrator."
    ),
    "wrong_lookup_result": _(
        "The function %(rule)s, which looks up the records for the column %(columns)s, returned a "
        "value of the type %(returned)s, but it must return a queryset of %(model)s. Contact an "
        "administrator: the importer must be corrected."
    ),
    "wrong_lookup_model": _(
        "The function %(rule)s, which looks up the records for the column %(columns)s, returned a "
        "queryset of %(returned)s, but it must return a queryset of %(model)s. Contact an "
        "administrator: the importer must be corrected."
    ),
    "choices_failed": _(
        "The choices for the column %(columns)s could not be listed (%(error)s). Contact an "
        "administrator."
    ),
    "wrong_column_mapping": _(
        "The column mapping that was sent with the file does not fit its columns. Correct the "
        "entries of these fields: %(columns)s."
    ),
    "database_error": _(
        "The database could not store the values of the file (%(sqlstate)s). "
        "Contact an administrator."
    ),
    "database_timeout": _(
        "The database needed longer than %(limit)s for one step of this import, %(times)s times in "
        "succession. Ask an administrator to raise %(setting)s, and then retry the import."
    ),
    "writing_failed": _(
        "The database does not accept the statement that writes the rows (%(sqlstate)s). What was "
        "written stays written. Contact an administrator, and then retry the import."
    ),
    "undo_failed": _(
        "Undoing the import has stopped because of an error (%(error)s). What was undone stays "
        "undone. Undo the import again for the rest. If it stops again, contact an administrator."
    ),
}
# Why undo has kept the record of a row.
KEPT_MESSAGES = {
    "edited": _("The record was edited after the import."),
    "referred_to": _(
        "Other records refer to this record: %(model)s. Delete them first if it is to be deleted."
    ),
    "deleted": _("The record was deleted after the import. There was nothing to undo."),
    "values_taken": _(
        "Another record now has a value that this record had before the import, and that must be "
        "unique."
    ),
    "database_error": _(
        "The database did not allow the change of this record (%(sqlstate)s). "
        "Contact an administrator."
    ),
    "crashed_worker": _(
        "Undoing this row repeatedly crashed the worker. Contact an administrator."
    ),
}
CONTENTS_DELETED = _("The file and the rows of this import were deleted.")
# Errors of one row.
ROW_MESSAGES = {
    "required": _("This value is required. Fill it in, or delete the row."),
    "invalid": _(
        "This value is not valid. Type it in the same form as in the other rows of the column."
    ),
    "invalid_number": _("This is not a number. Write it like 12 or 12.50, without a unit."),
    "invalid_whole_number": _("This is not a whole number. Write it like 12."),
    "invalid_date": _("This is not a date. Write it like 2026-01-31."),
    "invalid_time": _("This is not a time of day. Write it like 14:30."),
    "invalid_datetime": _("This is not a date with its time. Write it like 2026-01-31 14:30."),
    "invalid_boolean": _("This is neither yes nor no. Write yes or no."),
    "ambiguous": _(
        "This value is ambiguous. It can mean %(first)s or %(second)s. Write the intended value."
    ),
    "invalid_choice": _("This value is not allowed here. Write one of: %(choices)s."),
    "ambiguous_choice": _(
        "This value stands for more than one choice: %(choices)s. Write the value in parentheses."
    ),
    "too_short": _("This is too short. Write at least %(limit)s characters."),
    "too_long": _("This is too long. Shorten it to at most %(limit)s characters."),
    "too_many_decimals": _("This has too many decimals. Write it with at most %(limit)s."),
    "too_many_digits": _("This has too many digits. It must have at most %(limit)s."),
    "too_small": _("This is too small. It must be at least %(limit)s."),
    "too_large": _("This is too large. It must be at most %(limit)s."),
    "not_found": _("No record has this name. Check the spelling, or create the record first."),
    "ambiguous_lookup": _(
        "%(count)s records have this name. Write a value that only one of them has."
    ),
    "forbidden_character": _(
        "This value contains a character that cannot be stored. Type the value again by hand."
    ),
    "formula_without_value": _(
        "This cell contains a formula without its result. Open the file in your spreadsheet "
        "program and save it, or type the value itself."
    ),
    "date_in_text": _(
        "This cell contains a date, not text. It shows %(shown)s, which is probably the code that "
        "was typed before the spreadsheet program changed it to a date. Format the column as text, "
        "then type the code again."
    ),
    "time_in_text": _(
        "This cell contains a time, not text. It shows %(shown)s, which is probably the code that "
        "was typed before the spreadsheet program changed it to a time. Format the column as text, "
        "then type the code again."
    ),
    "percentage_in_text": _(
        "This cell contains a percentage, shown as %(shown)s. Format the column as text, then type "
        "the value again."
    ),
    "fraction_in_text": _(
        "This cell contains a fraction, shown as %(shown)s. Format the column as text, then type "
        "the value again."
    ),
    "exponent_in_text": _(
        "This cell contains a number with an exponent, shown as %(shown)s. The spreadsheet program "
        "has changed the value that was typed. Format the column as text, then type the value "
        "again."
    ),
    "digits_lost": _(
        "The last digits of this number are lost, because a spreadsheet keeps only fifteen digits. "
        "It shows %(shown)s. Format the column as text, then type the whole value again."
    ),
    "boolean_in_text": _(
        "This cell contains the value %(shown)s, not text. Format the column as text, then type "
        "the value again."
    ),
    "garbled_text": _(
        "This text was saved in the wrong encoding. It is probably %(probably)s. Type it again, or "
        "export the file again as CSV in UTF-8."
    ),
    "damaged_characters": _(
        "Some characters of this text cannot be read. Type the text again, or export the file "
        "again as CSV in UTF-8."
    ),
    "several_values": _(
        "Several columns of the file fill this field, and they contain different values: "
        "%(values)s. Keep only one of these values in this row."
    ),
    "rule_failed": _("This value could not be checked (%(error)s). Tell an administrator."),
    "row_rule_failed": _("This row could not be checked (%(error)s). Tell an administrator."),
    "wrong_clean_result": _(
        "The function %(rule)s, which checks this value, returned a value of the type "
        "%(returned)s, but it must return text or None. Tell an administrator: the importer must "
        "be corrected."
    ),
    "wrong_prepare_result": _(
        "The function %(rule)s, which prepares this value, returned a value of the type "
        "%(returned)s, but it must return text, a number, a date, a time or None. Tell an "
        "administrator: the importer must be corrected."
    ),
    "wrong_check_row_result": _(
        "The function %(rule)s, which checks this row, returned a value of the type %(returned)s, "
        "but it must return None, or a list of InvalidValue. Tell an administrator: the importer "
        "must be corrected."
    ),
    "wrong_check_row_field": _(
        "The function %(rule)s, which checks this row, returned an error for %(name)s, but no "
        "column fills such a field. Tell an administrator: the importer must be corrected."
    ),
    "repeats_row": _(
        "This row is a duplicate of row %(row)s of the same file. Keep one of the two rows, or "
        "correct the value that they share."
    ),
    "exists": _(
        "A record with this value already exists. Delete the row, or correct the value if it "
        "belongs to another record."
    ),
    "matches_several": _(
        "The values of this row belong to %(count)s different existing records. Correct the value "
        "that belongs to another record."
    ),
    "record_deleted": _(
        "The matching record has been deleted in the meantime. Import the row again."
    ),
    "database_error": _(
        "The database could not store this row (%(sqlstate)s). Compare its values with a row that "
        "was imported."
    ),
    "crashed_worker": _(
        "Writing this row failed repeatedly. Check its values, then import it alone."
    ),
}
# For the errors of a column that fills a foreign key.
LOOKUP_MESSAGES = {
    "not_found": _(
        "There is no %(record)s with this %(key)s. Check the spelling, or create the %(record)s "
        "first."
    ),
    "ambiguous_lookup": _(
        "More than one %(record)s has this %(key)s: there are %(count)s. Write a value that only "
        "one of them has."
    ),
}
# For a group of rows with the same error, where ROW_MESSAGES names values of a single row.
CAUSE_MESSAGES = {
    "repeats_row": _("This row is a duplicate of an earlier row of the same file."),
    "matches_several": _("The values of this row belong to several existing records."),
    "ambiguous": _("This value is ambiguous. Write the intended value."),
    "ambiguous_choice": _(
        "This value stands for more than one choice. Write the stored value of the choice."
    ),
    "ambiguous_lookup": _(
        "This value names more than one record. Write a value that only one of them has."
    ),
}
# For skipped rows, where the advice for failed rows would be wrong.
SKIPPED_ROW_MESSAGES = {
    "exists": _(
        "A record with this value already exists. The record is kept unchanged. Correct the value "
        "only if it belongs to another record."
    ),
}
# How a file was read.
READ_SUMMARY_MESSAGES = {
    "columns_ignored": _("These columns do not match any field and were ignored: %(columns)s."),
    "hidden_columns_ignored": _(
        "These columns are hidden and were ignored, because another column fills the same field: "
        "%(columns)s."
    ),
    "columns_joined": _(
        "%(column)s is read from the first of these columns that is not empty: %(columns)s."
    ),
    "header_in_two_rows": _("The headers were read from rows %(first)s to %(last)s."),
    "second_reader": _(
        "This workbook was read with the alternative reader, which reads cells that show an error "
        "as empty. Check these cells, or save the workbook as .xlsx and upload it again."
    ),
    "binary_workbook": _(
        "Only values are read from a binary workbook (.xlsb). Cells that show an error are read as "
        "empty, and hidden rows are imported."
    ),
    "other_encoding": _(
        "These rows are not in the encoding of the file (%(encoding)s) and were read as "
        "%(second_encoding)s. Check their accents."
    ),
    "undecodable_characters": _(
        "These rows contain characters that could not be read in any encoding. A row fails if a "
        "field uses such characters."
    ),
    "hidden_row": _(
        "These rows are hidden in the workbook. They are imported like all other rows."
    ),
    "hidden_row_skipped": _("These rows are hidden in the workbook and were not imported."),
    "repeated_header": _("These rows repeat the headers and were not imported."),
    "total_row": _("These rows contain totals and were not imported."),
    "signature_row": _("These rows contain a signature or a remark and were not imported."),
    "cell_shortened": _(
        "These rows contain a cell that is too long for a spreadsheet. Only the beginning of the "
        "cell is kept."
    ),
    "placeholder_as_empty": _("%(column)s: a placeholder such as n/a was read as an empty cell."),
    "first_of_several_values": _(
        "%(column)s: the cell contains several values. The first value was imported."
    ),
    "link_taken": _("%(column)s: the address of the link was imported instead of its text."),
}
# The codes of read summary entries that are shown first, the most important first.
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
# For a code without a sentence: of an importer without one, or of another version of the app.
NO_JOB_MESSAGE = _(
    "The import has stopped with the error code %(code)s. Contact an administrator: there is no "
    "explanation for this code."
)
NO_ROW_MESSAGE = _(
    "This value was not accepted, with the error code %(code)s. Tell an administrator: there is no "
    "explanation for this code."
)
NO_KEPT_MESSAGE = _("The record was kept for a reason with the code %(code)s.")
NO_READ_SUMMARY_MESSAGE = _("The file was read in an unusual way, with the code %(code)s.")
MAX_ROW_NUMBERS = 5  # Shown for one read summary entry.
NOTHING_IMPORTED = _("Nothing was imported: every row failed.")
# Why an import that needs a worker makes no progress, for everyone who sees the import.
STALLED_MESSAGES = {
    StalledReason.NO_WORKER: _(
        "No worker is running, so the import is waiting. Your file is safe, and the import "
        "continues automatically when a worker starts."
    ),
    StalledReason.WORKERS_BUSY: _(
        "All workers are busy with other imports. The import continues automatically when one of "
        "them is free."
    ),
    StalledReason.REPEATED_CRASHES: _(
        "A worker has crashed while it worked on this import. The step is repeated automatically. "
        "A row that crashes its worker three times is marked as failed."
    ),
    StalledReason.WAITING_FOR_LOCK: _(
        "Another program is using the same records. The import continues automatically when it "
        "has finished."
    ),
    StalledReason.DATABASE_SLOW: _(
        "The database is too slow or was not available. The step is repeated automatically."
    ),
    StalledReason.REDIS_UNAVAILABLE: _(
        "The queue (Redis) cannot be reached, so no worker receives the import. Your file is safe, "
        "and the import continues automatically when the queue works again."
    ),
    StalledReason.UNKNOWN: _(
        "The import has made no progress for a while. It is retried automatically."
    ),
}
# What an administrator can do about it.
STALLED_ADVICE = {
    StalledReason.NO_WORKER: _("Start a worker: python manage.py imports_worker."),
    StalledReason.WORKERS_BUSY: _("If this happens often, run more workers or more threads."),
    StalledReason.REPEATED_CRASHES: _(
        "Look in the log of the workers for the reason, and whether their memory is sufficient."
    ),
    StalledReason.WAITING_FOR_LOCK: _(
        "Find the session that holds the lock with python manage.py imports_status, and end its "
        "transaction."
    ),
    StalledReason.DATABASE_SLOW: _(
        "Check load, disk and connections of PostgreSQL. If its statements need more time, raise "
        "IMPORTS_DATABASE_TIMEOUTS."
    ),
    StalledReason.REDIS_UNAVAILABLE: _(
        "Start Redis, or correct its address (IMPORTS_REDIS_URL or the options of the broker)."
    ),
    StalledReason.UNKNOWN: _("Look in the log of the workers, which says what they do."),
}
# Errors of a submitted column mapping.
MAPPING_MESSAGES = {
    "unknown_field": _("There is no field %(field)s. The fields are: %(fields)s."),
    "unknown_column": _(
        "The file has no column %(column)s. Use a header of the file, or a column index from 0 to "
        "%(last)s."
    ),
    "invalid_column": _("Use a header, a column index, or null to leave the field empty."),
    "several_columns": _(
        "Several columns have the header %(column)s. Use the index of the intended column: "
        "%(indexes)s."
    ),
    "column_used_twice": _(
        "Column %(column)s is already mapped to %(field)s. Map %(field)s to another column, or to "
        "null."
    ),
    "column_required": _("This field is required. Select a column for it."),
}


def describe_stalled_reason(reason: str) -> str:
    """Return the sentence that says why an import makes no progress."""
    return str(STALLED_MESSAGES[StalledReason(reason)])


def advise_on_stalled_reason(reason: str) -> str:
    """Return the sentence that says what an administrator can do about a stalled import."""
    return str(STALLED_ADVICE[StalledReason(reason)])


# Why an import refuses a command, unless it is because of its status. REST answers with 409.
CONFLICT_MESSAGES = {
    "retry_not_ended": _(
        "A retry of the failed rows of this import has not ended, and reads its rows. Cancel the "
        "retry first."
    ),
    "file_not_read": _("The file has not been read. Change how it is read first."),
    "nothing_to_undo": _(
        "The import has created and updated no record, so there is nothing to undo."
    ),
    "nothing_to_retry": _(
        "No row of the import can be retried: none has failed, or the failed rows repeat earlier "
        "rows of the file."
    ),
    "retried_already": _(
        "Another import retries the failed rows of this import already: %(import_id)s."
    ),
    "too_late": _("The import can no longer be undone. Its rows were kept until %(date)s."),
}


# Why an upload would exceed a quota. REST answers with 409, or with 429 if waiting helps.
QUOTA_MESSAGES = {
    "too_many_uploads": _(
        "You have uploaded %(limit)s files within a minute, which is the limit. Wait %(seconds)s "
        "seconds, then upload the file again."
    ),
    "too_many_imports": _(
        "You have %(count)s imports that have not ended, and the limit is %(limit)s. Start, cancel "
        "or delete one of these, then upload the file again: %(imports)s."
    ),
    "too_many_bytes": _(
        "Your uploaded files take %(stored)s, and with this one (%(file_size)s) they would exceed "
        "the limit of %(limit)s. Delete the file and the rows of one of these imports, then upload "
        "the file again: %(imports)s."
    ),
}


def describe_quota(code: str, params: Mapping[str, Any]) -> str:
    """Return the sentence for a code of QUOTA_MESSAGES, in the active language."""
    shown = dict(params) | {"imports": [each["file_name"] for each in params["imports"]]}
    if code == "too_many_bytes":
        sizes = ("stored", "file_size", "limit")
        shown |= {name: filesizeformat(params[name]) for name in sizes}
    return _insert_parameters(QUOTA_MESSAGES[code], shown)


# Why the importer does not allow a command. REST answers with 403.
PERMISSION_MESSAGES = {
    "import_not_permitted": _("You may not import this: %(title)s."),
    "policy_not_permitted": _(
        "You may import this (%(title)s), but not with this choice for existing records: "
        "%(on_duplicate)s."
    ),
    "undo_not_permitted": _(
        "You may not undo this import, because you may not remove or restore its records "
        "(%(title)s)."
    ),
}
PERMISSION_ADVICE = _("Ask an administrator for the permission %(permissions)s.")
RULE_ADVICE = _("Ask an administrator to allow it.")


def describe_missing_permission(code: str, params: Mapping[str, Any]) -> str:
    """Return the sentence for a code of PERMISSION_MESSAGES, and what to do about it."""
    shown = dict(params)
    if policy := params.get("on_duplicate"):
        shown["on_duplicate"] = str(OnDuplicate(policy).label)
    advice = PERMISSION_ADVICE if params["permissions"] else RULE_ADVICE
    sentences = (PERMISSION_MESSAGES[code], advice)
    return " ".join(_insert_parameters(sentence, shown) for sentence in sentences)


def describe_conflict(code: str, params: Mapping[str, object]) -> str:
    """Return the sentence for a code of CONFLICT_MESSAGES. A `date` is a time of the API."""
    shown = dict(params)
    if date := parse_datetime(str(shown.get("date", ""))):
        shown["date"] = date_format(localtime(date), "DATE_FORMAT")
    return _insert_parameters(CONFLICT_MESSAGES[code], shown)


def describe_mapping_problem(code: str, params: Mapping[str, object]) -> str:
    """Return the sentence for an error of a submitted column mapping."""
    return _insert_parameters(MAPPING_MESSAGES[code], params)


def describe_job_error(code: str, params: Mapping[str, object] | None) -> str:
    """Return the sentence for the error of an import. Columns are named by their fields."""
    message = JOB_MESSAGES.get(code, NO_JOB_MESSAGE)
    return _insert_parameters(message, {**(params or {}), "code": code})


def describe_job_error_with_labels(
    importer: str, code: str, params: Mapping[str, object] | None
) -> str:
    """Return the sentence for the error of an import. Columns are named by their labels."""
    shown = dict(params or {})
    if isinstance(fields := shown.get("columns"), list):
        known = get_importer_or_placeholder(importer)
        shown["columns"] = [get_field_label(known, field) for field in fields]
    return describe_job_error(code, shown)


def describe_read_summary_entry(entry: Mapping[str, Any], importer: str) -> str:
    """Return the sentence for one entry of a read summary. The column is named by its label."""
    params, known = dict(entry["params"]), get_importer_or_placeholder(importer)
    if params.get("column") in {column.field for column in known.columns}:
        params["column"] = get_field_label(known, params["column"])
    message = READ_SUMMARY_MESSAGES.get(entry["code"], NO_READ_SUMMARY_MESSAGE)
    return _insert_parameters(message, params | {"code": entry["code"]})


class ReadNote(TypedDict):
    """One entry of a read summary in the user's language."""

    code: str
    sentence: str
    rows: str  # "Rows 2, 57 and 18 more"; "" for an entry about the whole file.
    needs_attention: bool


def describe_read_summary(entries: Iterable[Mapping[str, Any]], importer: str) -> list[ReadNote]:
    """Return the entries in the user's language.

    Entries that need attention come first, in the order of NEEDS_ATTENTION; the others keep their
    order.
    """
    notes = [
        ReadNote(
            code=entry["code"],
            sentence=describe_read_summary_entry(entry, importer),
            rows=_describe_row_numbers(entry["params"]),
            needs_attention=entry["code"] in NEEDS_ATTENTION,
        )
        for entry in entries
    ]
    priorities = {code: priority for priority, code in enumerate(NEEDS_ATTENTION)}
    return sorted(notes, key=lambda note: priorities.get(note["code"], len(priorities)))


def _describe_row_numbers(params: Mapping[str, Any]) -> str:
    """Return the first row numbers of an entry, and how many more there are."""
    numbers = params.get("rows", [])[:MAX_ROW_NUMBERS]
    if not numbers:
        return ""
    count = params.get("count", len(numbers))
    shown, more = ", ".join(map(str, numbers)), count - len(numbers)
    if more > 0:
        text = ngettext("Rows %(rows)s and %(n)s more", "Rows %(rows)s and %(n)s more", more)
        return text % {"rows": shown, "n": intcomma(more)}
    return ngettext("Row %(rows)s", "Rows %(rows)s", count) % {"rows": shown}


def describe_kept(kept: Mapping[str, Any]) -> str:
    """Return the sentence for why undo has kept a record. `kept` has "code" and "params"."""
    params = dict(kept["params"])
    if "model" in params:
        with suppress(LookupError, ValueError):  # A table without a model, or a model of the past.
            params["model"] = apps.get_model(params["model"])._meta.verbose_name_plural
    message = KEPT_MESSAGES.get(kept["code"], NO_KEPT_MESSAGE)
    return _insert_parameters(message, params | {"code": kept["code"]})


def describe_row_error(
    error: Mapping[str, Any], importer: str, outcome: str | None = Outcome.FAILED
) -> str:
    """Return the sentence for one error of a row with this outcome."""
    if outcome == Outcome.SKIPPED and (message := SKIPPED_ROW_MESSAGES.get(error["code"])):
        return str(message)
    known = get_importer_or_placeholder(importer)
    code, params, column = error["code"], error["params"], error.get("field")
    if code in known.messages:
        return _insert_parameters(known.messages[code], params)
    if message := error.get("message"):
        return translate_message(_find_value_field(known, column), message, params)
    if code in LOOKUP_MESSAGES and (lookup := known.describe_lookup(column)):
        return _insert_parameters(LOOKUP_MESSAGES[code], params | lookup)
    if code == "invalid_choice":
        params = params | _translate_choices(known, column)
    return _insert_parameters(ROW_MESSAGES.get(code, NO_ROW_MESSAGE), {**params, "code": code})


def _find_value_field(importer: type[Importer], name: str | None) -> Field[Any, Any] | None:
    """Return the first field whose values the cells of a column hold; None without a column."""
    column = next((column for column in importer.columns if column.field == name), None)
    return None if column is None else get_value_field(importer, column)


def _translate_choices(importer: type[Importer], name: str | None) -> dict[str, str]:
    """Return the parameter with the choices in the active language; empty if there are none.

    A `clean` function names the choices itself.
    """
    field = _find_value_field(importer, name)
    if field is None:
        return {}
    if any(column.field == name and column.clean for column in importer.columns):
        return {}
    choices = describe_choices(field)
    return {"choices": choices} if choices else {}


def describe_cause(error: Mapping[str, Any], importer: str, outcome: str | None) -> str:
    """Return the sentence for all rows with this outcome that have the same cause as `error`."""
    message = CAUSE_MESSAGES.get(error["code"])
    return str(message) if message else describe_row_error(error, importer, outcome)


def get_field_label(importer: type[Importer], field: str | None) -> str:
    """Return the label of a field, capitalized; "" for None."""
    return capfirst(importer.label(field)) if field else ""


def _insert_parameters(message: object, params: Mapping[str, object] | None) -> str:
    """Insert the parameters into a message; lists become comma-separated text.

    A missing parameter becomes "…", because the stored error may be older than the message.
    """
    values = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in (params or {}).items()
    }
    text = str(message)
    try:
        return text % defaultdict(lambda: "…", values) if "%(" in text else text
    except (TypeError, ValueError):  # An importer's own sentence is no format, such as "100%(".
        return text
