"""Responses with a file: the original file, the failed rows, and the template to fill in.

A file is sent in chunks by an asynchronous iterator. Under ASGI, Django would first collect the
chunks of a synchronous iterator in a list in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from threading import BoundedSemaphore, Lock
from typing import BinaryIO
from weakref import WeakValueDictionary

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from imports.conf import app_settings
from imports.history import ORIGINAL_FILE, Actor, Command, record_event
from imports.importer import Importer
from imports.inline import acquire_slot
from imports.models import ImportJob
from imports.pipeline import failed_rows_file
from imports.pipeline.failed_rows import KEPT
from imports.retention import require_contents
from imports.storage import CHUNK_BYTES, StoredFileNotFound
from imports.template_workbook import write_template

# For the original file, so that no browser opens it.
BINARY_MEDIA_TYPE = "application/octet-stream"
XLSX_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV_MEDIA_TYPE = "text/csv; charset=utf-8"

# How many failed-rows files a process builds at the same time.
REPORT_SLOTS = BoundedSemaphore(app_settings.MAX_CONCURRENT_DOWNLOADS)
# One user builds at most half of them, so that other users need not wait for its large files.
MAX_REPORTS_PER_USER = max(1, app_settings.MAX_CONCURRENT_DOWNLOADS // 2)
# By primary key of the user. An entry exists while a request builds a file or waits for a slot.
_user_slots: WeakValueDictionary[object, BoundedSemaphore] = WeakValueDictionary()
_user_slots_lock = Lock()


class FileChunks:
    """The chunks of a file, each of which is read in the thread of the request."""

    def __init__(self, file: BinaryIO | File[bytes]) -> None:
        self.file = file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await sync_to_async(self.file.read)(CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        self.file.close()


def send_original_file(job: ImportJob, by: Actor | None) -> StreamingHttpResponse:
    """Return a response with the file as it was uploaded.

    The history of the import names `by`; None if only the headers are sent.

    Raises:
        ContentsDeleted: The file and the rows of the import were deleted.
        StoredFileNotFound: The file is missing.
    """
    require_contents(job)
    if not job.file or job.file.name is None:
        raise StoredFileNotFound
    try:
        file = job.file.storage.open(job.file.name)
    except FileNotFoundError:
        raise StoredFileNotFound from None
    response = make_file_response(file, job.file_name, BINARY_MEDIA_TYPE, file.size)
    return _record_download(response, job, by, ORIGINAL_FILE)


def send_failed_rows_workbook(job: ImportJob, by: Actor | None) -> StreamingHttpResponse:
    """Return a response with the failed and the skipped rows as a workbook.

    `by` as in `send_original_file`.

    Raises:
        ContentsDeleted: The file and the rows of the import were deleted.
        NoFailedRows: The import has no failed or skipped row.
        NoFreeSlot: The process builds as many files as it may, for the user or for all.
        WorkbooksNotSupported: XlsxWriter is not installed.
    """
    require_contents(job)
    with acquire_report_slot(by):
        response = build_file_response(
            partial(failed_rows_file.write_workbook, job),
            f"{get_failed_rows_file_name(job)}.xlsx",
            XLSX_MEDIA_TYPE,
        )
    return _record_download(response, job, by, "failed-rows.xlsx")


def send_failed_rows_csv(job: ImportJob, by: Actor | None) -> StreamingHttpResponse:
    """Return a response with the failed rows as CSV. `by` as in `send_original_file`.

    Raises:
        ContentsDeleted: The file and the rows of the import were deleted.
        NoFailedRows: The import has no failed row.
        NoFreeSlot: The process builds as many files as it may, for the user or for all.
    """
    require_contents(job)
    with acquire_report_slot(by):
        response = build_file_response(
            partial(failed_rows_file.write_csv, job),
            f"{get_failed_rows_file_name(job)}.csv",
            CSV_MEDIA_TYPE,
        )
    return _record_download(response, job, by, "failed-rows.csv")


def send_kept_rows_workbook(job: ImportJob, by: Actor | None) -> StreamingHttpResponse:
    """Return a response with the rows whose records undo has kept as a workbook.

    `by` as in `send_original_file`.

    Raises:
        ContentsDeleted: The file and the rows of the import were deleted.
        NoFailedRows: Undo has kept no record.
        NoFreeSlot: The process builds as many files as it may, for the user or for all.
        WorkbooksNotSupported: XlsxWriter is not installed.
    """
    require_contents(job)
    with acquire_report_slot(by):
        response = build_file_response(
            partial(failed_rows_file.write_kept_workbook, job),
            f"{get_kept_rows_file_name(job)}.xlsx",
            XLSX_MEDIA_TYPE,
        )
    return _record_download(response, job, by, "kept-rows.xlsx")


def send_kept_rows_csv(job: ImportJob, by: Actor | None) -> StreamingHttpResponse:
    """Return a response with the rows whose records undo has kept as CSV.

    `by` as in `send_original_file`.

    Raises:
        ContentsDeleted: The file and the rows of the import were deleted.
        NoFailedRows: Undo has kept no record.
        NoFreeSlot: The process builds as many files as it may, for the user or for all.
    """
    require_contents(job)
    with acquire_report_slot(by):
        response = build_file_response(
            partial(failed_rows_file.write_csv, job, selection=KEPT),
            f"{get_kept_rows_file_name(job)}.csv",
            CSV_MEDIA_TYPE,
        )
    return _record_download(response, job, by, "kept-rows.csv")


def send_template(importer: type[Importer]) -> StreamingHttpResponse:
    """Return a response with the workbook to fill in.

    Raises:
        WorkbooksNotSupported: XlsxWriter is not installed.
    """
    return build_file_response(
        partial(write_template, importer), f"{importer.name}.xlsx", XLSX_MEDIA_TYPE
    )


@contextmanager
def acquire_report_slot(by: Actor | None) -> Iterator[None]:
    """Hold a slot of the user and a slot of the process while a file is built.

    `by` is None for requests that ask only for headers. All these requests share the slots of one
    user.

    Raises:
        NoFreeSlot: No slot became free in time.
    """
    user_id = by.user.pk if by is not None and by.user is not None else None
    with _user_slots_lock:
        slots = _user_slots.setdefault(user_id, BoundedSemaphore(MAX_REPORTS_PER_USER))
    with acquire_slot(slots), acquire_slot(REPORT_SLOTS):
        yield


def _record_download(
    response: StreamingHttpResponse, job: ImportJob, by: Actor | None, file: str
) -> StreamingHttpResponse:
    """Return the response, after its download is in the history of the import.

    Raises:
        ContentsDeleted: The file and the rows of the import were deleted meanwhile.
    """
    with ExitStack() as close_on_error:
        close_on_error.callback(response.close)
        # If the rows were deleted while the file was built, the file may lack some of them.
        require_contents(ImportJob.objects.only("contents_deleted_at").get(pk=job.pk))
        if by is not None:
            record_event(job.pk, Command.DOWNLOAD, by, {"file": file})
        close_on_error.pop_all()
    return response


def get_failed_rows_file_name(job: ImportJob) -> str:
    return f"failed-rows-{Path(job.file_name).stem}"


def get_kept_rows_file_name(job: ImportJob) -> str:
    return f"kept-rows-{Path(job.file_name).stem}"


def build_file_response(
    write: Callable[[BinaryIO], None], name: str, media_type: str
) -> StreamingHttpResponse:
    """Return a response with a file that `write` writes to a temporary file.

    The file is complete before its first byte is sent, so an error of `write` is raised here.
    """
    with ExitStack() as close_on_error:
        file = close_on_error.enter_context(TemporaryFile())
        write(file)
        response = make_file_response(file, name, media_type, file.seek(0, SEEK_END))
        close_on_error.pop_all()  # The response closes the file.
    return response


def make_file_response(
    file: BinaryIO | File[bytes], name: str, media_type: str, size: int
) -> StreamingHttpResponse:
    """Return a response with an open file of `size` bytes, which the response closes."""
    file.seek(0)
    return StreamingHttpResponse(
        FileChunks(file),
        content_type=media_type,
        headers={
            "Content-Disposition": content_disposition_header(True, name or "file"),
            "Content-Length": str(size),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )
