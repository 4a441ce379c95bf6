"""Error messages for programs: what the API expects, and which call to make instead."""

from __future__ import annotations

from json import JSONDecodeError

from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.urls import Resolver404, resolve, reverse
from django.utils.text import get_text_list
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.request import Request

from imports.models import ImportJob
from imports.pipeline.column_mapping import quote_header
from imports.snapshots import get_status_message
from imports.statuses import Status

NOT_FOUND_MESSAGE = "There is nothing at this address that you may see."
IMPORT_NOT_PERMITTED_MESSAGE = (
    "You may not import. Ask whoever runs this site for the permission imports.add_importjob."
)


def describe_unreadable_body(error: Exception) -> str:
    """Return why a request body cannot be parsed, without quoting the body.

    For a ParseError, the exception that it was raised from is described.
    """
    reason = _describe_parse_error(error.__context__ if isinstance(error, ParseError) else error)
    return f"This request cannot be read: {reason}." if reason else "This request cannot be read."


def describe_broken_json(start: int, end: int) -> str:
    """Return that the JSON of a streamed body is invalid between two byte offsets."""
    return f"This request cannot be read: its JSON is invalid between bytes {start} and {end}."


def _describe_parse_error(error: BaseException | None) -> str:
    if isinstance(error, RecursionError):
        return "its JSON is nested too deeply"
    if isinstance(error, JSONDecodeError):
        return f"its JSON is invalid at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"it must be JSON in UTF-8, and byte {error.start} is not UTF-8"
    if isinstance(error, ValueError):
        return "it must be JSON in UTF-8 without NaN, Infinity and unpaired surrogates"
    if isinstance(error, MultiPartParserError):
        return "it must be a multipart form with the boundary that its Content-Type names"
    if isinstance(error, UnreadablePostError):
        return "the connection broke, so send it again"
    return ""


def describe_unsupported_media_type(error: UnsupportedMediaType, request: Request) -> str:
    """Return the message of the error and the media types that the call accepts."""
    parsers = request.parsers or []
    accepted = get_text_list([str(parser.media_type) for parser in parsers], "or")
    return f"{error.detail} Send {accepted} with a matching Content-Type."


def describe_missing_file(request: Request) -> str:
    """Return why an upload has no file in the field `file`."""
    if "file" in request.POST:
        return "The field named file holds text. Send the file itself in it, with curl: -F file=@…."
    if name := next(iter(request.FILES), None):
        field = quote_header(name)
        return f"The file came in a field named {field}. Send it in a field named file."
    return "Send the file in a multipart field named file, with a file name in UTF-8."


def describe_missing_address(request: HttpRequest) -> str:
    """Return the address with a slash at its end, if only the slash is missing.

    There is no redirect, because a redirect would lose the body of the request.
    """
    try:
        is_known = resolve(f"{request.path_info}/").url_name is not None
    except Resolver404:
        is_known = False
    return f"Ask for {request.path}/, with the slash at its end." if is_known else NOT_FOUND_MESSAGE


def describe_available_sheets(job: ImportJob) -> str:
    """Return a sentence, led by a space, with the sheets of the file; "" if none are known."""
    names = (job.error_params or {}).get("sheets")
    return f" The file has: {', '.join(names)}." if names else ""


def describe_failed_check(job: ImportJob) -> str:
    """Return why the file could not be checked, and the call that maps its columns."""
    if job.status != Status.MAPPING:
        return get_status_message(job)
    return f"{get_status_message(job)} To map them, PATCH {_get_url(job)} with column_mapping."


def _get_url(job: ImportJob) -> str:
    return reverse("imports:api:import-detail", args=[job.pk])
