"""What to do about an error, in a sentence for programs: what is expected, and where to ask."""

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
    """Where a body stops being what it should be; of its text nothing is told."""
    reason = _why_unreadable(error.__context__ if isinstance(error, ParseError) else error)
    return f"This request cannot be read: {reason}." if reason else "This request cannot be read."


def describe_broken_json(begins: int, ends: int) -> str:
    """Of JSON that is read as a stream: somewhere between these bytes it is none."""
    return f"This request cannot be read: JSON is expected, and breaks in bytes {begins} to {ends}."


def _why_unreadable(error: BaseException | None) -> str:
    if isinstance(error, RecursionError):
        return "its JSON is nested too deeply"
    if isinstance(error, JSONDecodeError):
        return f"JSON is expected, and there is none at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"JSON in UTF-8 is expected, and byte {error.start} is none of that"
    if isinstance(error, ValueError):
        return "JSON in UTF-8 is expected, without NaN, Infinity or half a pair of surrogates"
    if isinstance(error, MultiPartParserError):
        return "a multipart form is expected, with the boundary that its Content-Type names"
    if isinstance(error, UnreadablePostError):
        return "it broke off, so send it again"
    return ""


def describe_unsupported_media_type(error: UnsupportedMediaType, request: Request) -> str:
    taken = get_text_list([parser.media_type for parser in request.parsers], "or")
    return f"{error.detail} Send {taken}, and say so in Content-Type."


def describe_missing_file(request: Request) -> str:
    if "file" in request.POST:
        return "The field named file holds text. Send the file itself in it, with curl: -F file=@…."
    if name := next(iter(request.FILES), None):
        return f"The file came in a field named {quote_header(name)}. Send it in one named file."
    return "Send the file in a multipart field named file, with a file name in UTF-8."


def describe_missing_address(request: HttpRequest) -> str:
    """The address with its slash, if that is all it lacks. A redirect would lose a body."""
    try:
        is_there = resolve(f"{request.path_info}/").url_name is not None
    except Resolver404:
        is_there = False
    return f"Ask for {request.path}/, with the slash at its end." if is_there else NOT_FOUND_MESSAGE


def describe_available_sheets(job: ImportJob) -> str:
    names = (job.error_params or {}).get("sheets")
    return f" It has: {', '.join(names)}." if names else ""


def describe_failed_check(job: ImportJob) -> str:
    """Why its file could not be checked, and where that can be put right."""
    if job.status != Status.MAPPING:
        return get_status_message(job)
    return f"{get_status_message(job)} To say so, PATCH {own_address(job)} with column_mapping."


def own_address(job: ImportJob) -> str:
    return reverse("api:import-detail", args=[job.pk])


def describe_start_conflict(job: ImportJob) -> str:
    """Why this import cannot be started, and what comes first."""
    if job.status == Status.MAPPING:
        return f"Its columns must be mapped first. {describe_failed_check(job)}"
    if job.status in {Status.QUEUED, Status.CHECKING}:
        then = "Start it once it is READY." if job.check_first else "It starts by itself."
        return f"It is still being checked. {then}"
    if job.status == Status.CANCELLED:
        return "It was cancelled. Upload its file again."
    if job.status == Status.FAILED:
        return f"It has failed. {get_status_message(job)}"
    return f"It has been started already, and is {job.status}."
