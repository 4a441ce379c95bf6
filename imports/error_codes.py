"""All codes of the API: where each occurs, its parameters, and what it means.

The description of the API and docs/error-codes.md are generated from this module. `error_messages`
has the sentences of the codes that are stored with imports and rows; the codes of requests have
their sentences here.

Clients must expect codes that are not listed: later versions add codes, and importers have codes of
their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import override

from imports import error_messages
from imports.importer import Importer

# A JSON Schema.
ParameterSchema = dict[str, Any]

INTEGER: ParameterSchema = {"type": "integer"}
INTEGERS: ParameterSchema = {"type": "array", "items": INTEGER}
TEXT: ParameterSchema = {"type": "string"}
TEXTS: ParameterSchema = {"type": "array", "items": TEXT}
OPTIONAL_TEXT: ParameterSchema = {"type": ["string", "null"]}
# A parameter of InvalidValue is stored as a number or as text.
NUMBER_OR_TEXT: ParameterSchema = {"type": ["number", "string"]}

PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True)
class Code:
    """One code. `message` says in English what it means and what to do.

    `parameters` are the JSON Schemas of its parameters by name. `statuses` are the HTTP statuses
    of a code of a request, and empty for other codes.
    """

    name: str
    message: str
    parameters: Mapping[str, ParameterSchema] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()


# --- Requests ----------------------------------------------------------------

_request_codes: dict[str, Code] = {}
CONFLICT_STATUS = 409
PERMISSION_STATUS = 403
QUOTA_STATUSES = {"too_many_uploads": 429}
# The imports that the user can cancel or delete: their ids, names, sizes, statuses and addresses.
DELETABLE_IMPORTS: ParameterSchema = {"type": "array", "items": {"type": "object"}}
QUOTA_PARAMETERS: dict[str, dict[str, ParameterSchema]] = {
    "too_many_uploads": {"limit": INTEGER, "seconds": INTEGER, "imports": DELETABLE_IMPORTS},
    "too_many_imports": {"limit": INTEGER, "count": INTEGER, "imports": DELETABLE_IMPORTS},
    "too_many_bytes": {
        "limit": INTEGER,
        "stored": INTEGER,
        "file_size": INTEGER,
        "imports": DELETABLE_IMPORTS,
    },
}
# Parameters of the codes of `error_messages.PERMISSION_MESSAGES`. `permissions` are those that the
# user lacks; the list is empty if the importer has a rule of its own.
PERMISSION_PARAMETERS: dict[str, ParameterSchema] = {
    "importer": TEXT,
    "title": TEXT,
    "permissions": TEXTS,
}
POLICY_PARAMETERS: dict[str, ParameterSchema] = {"on_duplicate": TEXT, "allowed": TEXTS}


def register_request_code(name: str, status: int, message: str) -> None:
    """Add a code that the body of an error response can have, with its HTTP status."""
    known = _request_codes.get(name)
    # An app may register its codes more than once, because tests call AppConfig.ready again.
    statuses = {*(known.statuses if known else ()), status}
    _request_codes[name] = Code(name, message, statuses=tuple(sorted(statuses)))


def list_request_codes() -> list[Code]:
    """Return the codes of error responses, by status and name."""
    conflicts = _get_english(error_messages.CONFLICT_MESSAGES)
    codes = [
        *_request_codes.values(),
        *(
            Code(name, text, dict.fromkeys(PLACEHOLDER.findall(text), TEXT), (CONFLICT_STATUS,))
            for name, text in conflicts.items()
        ),
    ]
    codes += [
        Code(name, text, QUOTA_PARAMETERS[name], (QUOTA_STATUSES.get(name, CONFLICT_STATUS),))
        for name, text in _get_english(error_messages.QUOTA_MESSAGES).items()
    ]
    permissions = _get_english(error_messages.PERMISSION_MESSAGES)
    codes += [
        Code(
            name,
            text,
            PERMISSION_PARAMETERS | (POLICY_PARAMETERS if "on_duplicate" in text else {}),
            (PERMISSION_STATUS,),
        )
        for name, text in permissions.items()
    ]
    return sorted(codes, key=lambda code: (code.statuses, code.name))


for _name, _status, _message in (
    (
        "invalid",
        400,
        "A field or a parameter of the request is not valid. `errors` names each one, with a code "
        "and a sentence of its own. Correct them and send the request again.",
    ),
    ("malformed", 400, "The request cannot be read. The message says why and where."),
    ("no_file", 400, "The upload has no file. Send it in a multipart field named `file`."),
    ("several_files", 400, "The upload has several files. Send one file in each request."),
    ("empty_file", 400, "The file has no bytes. Choose the file that holds the rows."),
    (
        "too_many_fields",
        400,
        "The request has too many fields. Send only those described.",
    ),
    ("invalid_host", 400, "The site does not serve this host name. Correct the address."),
    ("not_authenticated", 401, "There is no login. Send an access token, or log in."),
    ("authentication_failed", 401, "The login is not valid. Log in again."),
    (
        "token_not_valid",
        401,
        "The access token is not valid, or it has expired. Get a new one with the refresh token, "
        "or log in again.",
    ),
    (
        "invalid_ticket",
        401,
        "The address of the stream has expired. Request the import: `urls.stream` is a new one.",
    ),
    (
        "no_active_account",
        401,
        "No active account has this username and password. Correct them.",
    ),
    ("permission_denied", 403, "You have no permission for this. Ask an administrator for it."),
    ("not_found", 404, "There is no such object, or you may not see it. Correct the address."),
    ("file_deleted", 404, "The uploaded file was deleted. Upload it again."),
    ("no_failed_rows", 404, "The import has no failed rows, or they were deleted."),
    (
        "method_not_allowed",
        405,
        "The address does not support the method. `Allow` lists those that it supports.",
    ),
    ("not_acceptable", 406, "`Accept` names no type that the call can send. Accept JSON."),
    (
        "not_allowed",
        409,
        "The status of the import does not allow this. The message says what to do instead, and "
        "`params.actions` lists what is possible.",
    ),
    (
        "contents_deleted",
        409,
        "The file and the rows of the import were deleted. Upload the file again.",
    ),
    (
        "contents_deleted",
        410,
        "The file and the rows of the import were deleted. Upload the file again.",
    ),
    ("length_required", 411, "The body has no `Content-Length`. Do not send it in chunks."),
    ("too_large", 413, "The body is too large. The message names the limit. Split the file."),
    (
        "unsupported_media_type",
        415,
        "The call does not accept the `Content-Type`. The message names those that it accepts.",
    ),
    (
        "key_reused",
        422,
        "The `Idempotency-Key` was used for another body. Choose a new key for a new upload.",
    ),
    ("throttled", 429, "You sent too many requests. Wait for the seconds in `Retry-After`."),
    (
        "internal_error",
        500,
        "An unexpected error, which is in the log of the server. Report the `X-Request-ID`.",
    ),
    (
        "upload_form_failed",
        500,
        "The upload form of the importer has an error, which is in the log of the server. Report "
        "the `X-Request-ID`.",
    ),
    (
        "workbooks_not_supported",
        501,
        "The site writes no workbooks. Request the CSV file, or ask an administrator to install "
        "XlsxWriter.",
    ),
    (
        "streams_not_served",
        501,
        "The site has no progress streams. Request the import every `poll_after_seconds`.",
    ),
    (
        "unavailable",
        503,
        "The site is busy or has no disk space left, or its database does not answer. Wait for "
        "the seconds in `Retry-After`.",
    ),
):
    register_request_code(_name, _status, _message)

# Codes of `errors` in the body of an error response. Those of a submitted column mapping are in
# `error_messages.MAPPING_MESSAGES`.
FIELD_MESSAGES = {
    "required": "The field is required. Send it.",
    "null": "The field is null. Send a value, or leave the field out.",
    "blank": "The text is empty. Send a value.",
    "empty": "The list is empty. Send at least one value.",
    "invalid": "The value is not valid. The sentence says what is allowed.",
    "invalid_choice": "The value is not one of the allowed values. The sentence lists them.",
    "max_length": "The value is too long. The sentence names the limit.",
    "min_length": "The value is too short. The sentence names the limit.",
    "max_value": "The number is too large. The sentence names the limit.",
    "min_value": "The number is too small. The sentence names the limit.",
    "max_string_length": "The number has too many digits. Send a smaller one.",
    "date": "The value is a date without a time. Send both, such as 2026-01-31T14:30:00Z.",
    "make_aware": "The time does not exist in the time zone of the site. Send it with an offset.",
    "overflow": "The time is too early or too late. Send another one.",
    "not_a_list": "The value is not a list. Send a list.",
    "not_a_dict": "The value is not an object. Send an object.",
    "null_characters_not_allowed": "The text contains a NUL character. Remove it.",
    "surrogate_characters_not_allowed": "The text is not valid Unicode. Send it in UTF-8.",
    "forbidden_character": "The text contains a character that cannot be stored. Remove it.",
    "unknown_field": "There is no such field. The sentence lists the fields.",
    "nothing_to_change": "The request changes nothing. The sentence lists what can be changed.",
    "read_first": "The read options decide which columns the file has. Change them first, and map "
    "the columns in a later request.",
}


def list_field_codes() -> list[Code]:
    """Return the codes of wrong fields of a request, those of a column mapping last."""
    mapping_messages = _get_english(error_messages.MAPPING_MESSAGES)
    # A field of a request and of a mapping may have the same code.
    messages = FIELD_MESSAGES | {
        name: message for name, message in mapping_messages.items() if name not in FIELD_MESSAGES
    }
    return [Code(name, message) for name, message in messages.items()]


# --- Imports -----------------------------------------------------------------


def list_import_codes() -> list[Code]:
    """Return the values of `error_code`: why an import failed or waits for a column mapping."""
    messages = _get_english(error_messages.JOB_MESSAGES)
    return [Code(name, message) for name, message in messages.items()]


# Parameters that a sentence does not quote, and those whose type is known. All others are numbers
# or texts.
ROW_PARAMETERS: dict[str, dict[str, ParameterSchema]] = {
    "too_long": {"limit": INTEGER},
    "too_many_decimals": {"limit": INTEGER},
    "too_many_digits": {"limit": INTEGER},
    "repeats_row": {"row": INTEGER},
    "matches_several": {"count": INTEGER},
    "database_error": {"sqlstate": TEXT, "constraint": OPTIONAL_TEXT},
    "invalid_choice": {"choices": TEXT},
    "several_values": {"values": TEXT},
    "rule_failed": {"error": TEXT},
    "wrong_clean_result": {"rule": TEXT, "returned": TEXT},
    "wrong_prepare_result": {"rule": TEXT, "returned": TEXT},
    "wrong_check_row_result": {"rule": TEXT, "returned": TEXT},
    "wrong_check_row_field": {"rule": TEXT, "name": TEXT},
    "garbled_text": {"probably": TEXT},
    **{
        code: {"shown": TEXT}
        for code in (
            "date_in_text",
            "time_in_text",
            "percentage_in_text",
            "fraction_in_text",
            "exponent_in_text",
            "digits_lost",
            "boolean_in_text",
        )
    },
}


def list_row_codes(importers: Iterable[type[Importer]] = ()) -> list[Code]:
    """Return the codes of row errors: those of the app, then those of the importers.

    An importer may replace the sentence of a code of the app. The code is listed once.
    """
    messages: dict[str, str] = _get_english(error_messages.ROW_MESSAGES)
    for importer in importers:
        messages = _get_english(importer.messages) | messages
    return [
        Code(name, message, _get_row_parameters(name, message))
        for name, message in sorted(messages.items())
    ]


def list_kept_codes() -> list[Code]:
    """Return the codes of kept rows: why undo has kept the record of a row."""
    messages = _get_english(error_messages.KEPT_MESSAGES)
    parameters = {
        "referred_to": {"model": TEXT},
        "database_error": ROW_PARAMETERS["database_error"],
    }
    return [Code(name, message, parameters.get(name, {})) for name, message in messages.items()]


def list_importer_codes(importer: type[Importer]) -> list[Code]:
    """Return the codes for which an importer has sentences of its own."""
    messages = _get_english(importer.messages)
    return [
        Code(name, message, _get_row_parameters(name, message))
        for name, message in sorted(messages.items())
    ]


def _get_row_parameters(name: str, message: str) -> dict[str, ParameterSchema]:
    quoted = dict.fromkeys(PLACEHOLDER.findall(message), NUMBER_OR_TEXT)
    return quoted | ROW_PARAMETERS.get(name, {})


_ROWS = {"count": INTEGER, "rows": INTEGERS}
READ_SUMMARY_PARAMETERS: dict[str, dict[str, ParameterSchema]] = {
    "columns_ignored": {"count": INTEGER, "columns": TEXTS},
    "hidden_columns_ignored": {"count": INTEGER, "columns": TEXTS},
    "columns_joined": {"column": TEXT, "columns": TEXTS, **_ROWS},
    "header_in_two_rows": {"first": INTEGER, "last": INTEGER},
    "second_reader": {},
    "binary_workbook": {},
    "other_encoding": {**_ROWS, "encoding": TEXT, "second_encoding": TEXT},
    "placeholder_as_empty": {"column": TEXT, **_ROWS},
    "first_of_several_values": {"column": TEXT, **_ROWS},
    "link_taken": {"column": TEXT, **_ROWS},
}


def list_read_summary_codes() -> list[Code]:
    """Return the codes of read summary entries. `rows` has the first row numbers only."""
    messages = _get_english(error_messages.READ_SUMMARY_MESSAGES)
    return [
        Code(name, message, READ_SUMMARY_PARAMETERS.get(name, _ROWS))
        for name, message in messages.items()
    ]


def _get_english(messages: Mapping[str, object]) -> dict[str, str]:
    with override("en"):
        return {name: str(message) for name, message in messages.items()}
