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
from imports.storage import CHUNK_BYTES, StoredFileNotFound
from imports.template_workbook import write_template

BINARY_MEDIA_TYPE = "application/octet-stream"  # Nobody's browser is to guess what it may be.
XLSX_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV_MEDIA_TYPE = "text/csv; charset=utf-8"

# How many failed-rows files a process builds at the same time.
REPORT_SLOTS = BoundedSemaphore(settings.IMPORT_REPORTS_AT_ONCE)


class FileChunks:
    """A file's bytes; each chunk is read in the request's own thread."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await sync_to_async(self.file.read)(CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        self.file.close()


def send_original_file(job: ImportJob) -> StreamingHttpResponse:
    """The file as it was uploaded, or FileGone."""
    if not job.file:
        raise StoredFileNotFound
    try:
        file = job.file.storage.open(job.file.name)
    except FileNotFoundError:
        raise StoredFileNotFound from None
    return make_file_response(file, job.file_name, BINARY_MEDIA_TYPE, file.size)


def send_failed_rows_workbook(job: ImportJob) -> StreamingHttpResponse:
    """Refused rows and skipped ones; or NoFailedRows, or Busy."""
    with limited_slot(REPORT_SLOTS):
        return build_file_response(
            partial(failed_rows_file.write_workbook, job),
            f"{get_failed_rows_file_name(job)}.xlsx",
            XLSX_MEDIA_TYPE,
        )


def send_failed_rows_csv(job: ImportJob) -> StreamingHttpResponse:
    """Refused rows as CSV; or NoFailedRows, or Busy."""
    with limited_slot(REPORT_SLOTS):
        return build_file_response(
            partial(failed_rows_file.write_csv, job),
            f"{get_failed_rows_file_name(job)}.csv",
            CSV_MEDIA_TYPE,
        )


def send_template(importer: type[Importer]) -> StreamingHttpResponse:
    return build_file_response(
        partial(write_template, importer), f"{importer.name}.xlsx", XLSX_MEDIA_TYPE
    )


def get_failed_rows_file_name(job: ImportJob) -> str:
    return f"failed-rows-{Path(job.file_name).stem}"


def build_file_response(
    write: Callable[[BinaryIO], None], name: str, kind: str
) -> StreamingHttpResponse:
    """A file that is whole, on the disk, before its first byte is sent."""
    with ExitStack() as until_sent:
        file = until_sent.enter_context(TemporaryFile())
        write(file)
        answer = make_file_response(file, name, kind, file.seek(0, SEEK_END))
        until_sent.pop_all()  # The answer closes it.
    return answer


def make_file_response(file: BinaryIO, name: str, kind: str, size: int) -> StreamingHttpResponse:
    file.seek(0)
    return StreamingHttpResponse(
        FileChunks(file),
        content_type=kind,
        headers={
            "Content-Disposition": content_disposition_header(True, name or "file"),
            "Content-Length": str(size),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )
