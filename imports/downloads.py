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
from typing import BinaryIO

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from imports import inline
from imports.importer import Importer
from imports.models import ImportJob
from imports.pipeline import failed_rows_file
from imports.storage import CHUNK_BYTES, FileGone
from imports.template_workbook import write_template

ANY = "application/octet-stream"  # Nobody's browser is to guess what it may be.
WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TEXT = "text/csv; charset=utf-8"


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


def rejected_workbook(job: ImportJob) -> StreamingHttpResponse:
    """Refused rows and skipped ones; or NothingRejected, or Busy."""
    with inline.place(inline.REPORTS):
        return built(
            partial(failed_rows_file.write_workbook, job), f"{rejected_name(job)}.xlsx", WORKBOOK
        )


def rejected_text(job: ImportJob) -> StreamingHttpResponse:
    """Refused rows as CSV; or NothingRejected, or Busy."""
    with inline.place(inline.REPORTS):
        return built(partial(failed_rows_file.write_text, job), f"{rejected_name(job)}.csv", TEXT)


def template(importer: type[Importer]) -> StreamingHttpResponse:
    return built(partial(write_template, importer), f"{importer.name}.xlsx", WORKBOOK)


def rejected_name(job: ImportJob) -> str:
    return f"rejected-{Path(job.file_name).stem}"


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
