"""Files that go back to people, as answers: the original, reports of refused rows, a template.

Each is sent chunk by chunk by an async iterator: of a plain one Daphne's Django would make
a list in memory first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from io import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from threading import BoundedSemaphore
from typing import BinaryIO

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from imports.importer import Importer
from imports.inline import limited_slot
from imports.models import ImportJob
from imports.pipeline import failed_rows_file
from imports.storage import CHUNK_BYTES, FileGone
from imports.template_workbook import write_template

ANY = "application/octet-stream"  # Nobody's browser is to guess what it may be.
WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TEXT = "text/csv; charset=utf-8"

# How many failed-rows files a process builds at the same time.
REPORT_SLOTS = BoundedSemaphore(settings.IMPORT_REPORTS_AT_ONCE)


class Chunks:
    """A file's bytes; each chunk is read in the request's own thread."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await sync_to_async(self.file.read)(CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        self.file.close()


def original(job: ImportJob) -> StreamingHttpResponse:
    """The file as it was uploaded, or FileGone."""
    if not job.file:
        raise FileGone
    try:
        file = job.file.storage.open(job.file.name)
    except FileNotFoundError:
        raise FileGone from None
    return sent(file, job.file_name, ANY, file.size)


def failed_rows_workbook(job: ImportJob) -> StreamingHttpResponse:
    """Refused rows and skipped ones; or NoFailedRows, or Busy."""
    with limited_slot(REPORT_SLOTS):
        return built(
            partial(failed_rows_file.write_workbook, job),
            f"{failed_rows_file_name(job)}.xlsx",
            WORKBOOK,
        )


def failed_rows_csv(job: ImportJob) -> StreamingHttpResponse:
    """Refused rows as CSV; or NoFailedRows, or Busy."""
    with limited_slot(REPORT_SLOTS):
        return built(
            partial(failed_rows_file.write_csv, job), f"{failed_rows_file_name(job)}.csv", TEXT
        )


def template(importer: type[Importer]) -> StreamingHttpResponse:
    return built(partial(write_template, importer), f"{importer.name}.xlsx", WORKBOOK)


def failed_rows_file_name(job: ImportJob) -> str:
    return f"failed-rows-{Path(job.file_name).stem}"


def built(write: Callable[[BinaryIO], None], name: str, kind: str) -> StreamingHttpResponse:
    """A file that is whole, on the disk, before its first byte is sent."""
    with ExitStack() as until_sent:
        file = until_sent.enter_context(TemporaryFile())
        write(file)
        answer = sent(file, name, kind, file.seek(0, SEEK_END))
        until_sent.pop_all()  # The answer closes it.
    return answer


def sent(file: BinaryIO, name: str, kind: str, size: int) -> StreamingHttpResponse:
    file.seek(0)
    return StreamingHttpResponse(
        Chunks(file),
        content_type=kind,
        headers={
            "Content-Disposition": content_disposition_header(True, name or "file"),
            "Content-Length": str(size),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )
