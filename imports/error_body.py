"""The JSON of errors: one shape for a request that fails and one for an error of a row."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from django.template.defaultfilters import filesizeformat

TOO_LARGE_MESSAGE = "The upload is larger than %(limit)s. Split it into several files."
LENGTH_REQUIRED_MESSAGE = "Send the body with a Content-Length, not in chunks."
NO_SPACE_MESSAGE = (
    "The server has no room for this file just now, so nothing was stored. Send it again in a few "
    "minutes, or tell an administrator."
)
NO_SPACE_RETRY_SECONDS = 60
BUSY_MESSAGE = "The server is busy just now. Send the request again in a few seconds."
# No space left, quota exceeded, and larger than any file of the process may become.
NO_SPACE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FieldError(TypedDict):
    """One error of one field of a request."""

    field: str
    code: str
    message: str


class ErrorBody(TypedDict):
    """The body of every error response of the API."""

    code: str
    message: str
    params: dict[str, Any]  # The values of the code's sentence; empty for most codes.
    errors: list[FieldError]


class RowError(TypedDict):
    """One error of one row, with its sentence."""

    row: int  # The row number of the spreadsheet.
    field: str | None  # The field's name; None if the error is about the whole row.
    code: str
    params: dict[str, Any]
    value: str  # The cell as it was read, shortened; "" if the cell is empty.
    message: str


def make_too_large_body(max_upload_bytes: int) -> ErrorBody:
    """Return the body of the response to a request that no view receives, because of its size."""
    limit = filesizeformat(max_upload_bytes)
    return make_error_body("too_large", TOO_LARGE_MESSAGE % {"limit": limit})


def make_length_required_body() -> ErrorBody:
    """Return the body of the response to a large request body without a Content-Length."""
    return make_error_body("length_required", LENGTH_REQUIRED_MESSAGE)


def make_no_space_body() -> ErrorBody:
    """Return the body of the response to a request that cannot be stored: the disk is full."""
    return make_error_body("unavailable", NO_SPACE_MESSAGE)


def make_busy_body() -> ErrorBody:
    """Return the body of the response to a request that has waited too long for other requests."""
    return make_error_body("unavailable", BUSY_MESSAGE)


def is_no_space_error(error: BaseException | None) -> bool:
    """Return whether a file could not be written because the disk is full."""
    return isinstance(error, OSError) and error.errno in NO_SPACE_ERRORS


def make_error_body(
    code: str,
    message: str,
    errors: Sequence[FieldError] = (),
    params: Mapping[str, Any] | None = None,
) -> ErrorBody:
    """Return the body of an error response: a code for programs and a sentence for people."""
    return {
        "code": code,
        "message": message,
        "params": dict(params or {}),
        "errors": list(errors),
    }


def make_row_error(error: Mapping[str, Any], row_number: int, message: str) -> RowError:
    """Return a stored error of a row, completed by its row number and its sentence."""
    return {
        "row": row_number,
        "field": error["field"],
        "code": error["code"],
        "params": error["params"],
        "value": error["value"],
        "message": message,
    }
