"""Create imports: validate the options of an upload, store the file, and ask a worker to check it.

`imports.lifecycle` offers `create_import` and `upload` as parts of the Python API.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

from django.contrib.auth.models import AbstractBaseUser
from django.core.files import File

from imports import actors
from imports.conf import app_settings
from imports.history import PYTHON, Actor, Command, record_event
from imports.idempotency import get_or_create_key
from imports.importer import Importer, get_importer, list_importers
from imports.models import ImportJob
from imports.permissions import check_upload
from imports.pipeline.column_mapping import validate_mapping
from imports.pipeline.reader.options import is_delimiter, is_encoding
from imports.postgres import atomic, on_commit
from imports.progress import publish_after_commit
from imports.quotas import QuotaExceeded, check_quotas, has_quota, lock_quotas
from imports.statuses import EmptyCells, HiddenRows, OnDuplicate, OnMissingColumns
from imports.storage import FILE_FOLDER
from imports.upload_options import clean_options

MAX_FILE_NAME_CHARS = 255

# A file to import: a path, a binary stream, or a file of Django, such as one from a form.
ImportFile: TypeAlias = "str | os.PathLike[str] | IO[bytes] | File[bytes]"


class InvalidOption(ValueError):
    """An argument of `create_import` or a change of `check_again` is not accepted.

    `option` is the name of the argument or of the change. The text says what to do.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")
        self.option = option


def create_import(
    user: AbstractBaseUser,
    file: ImportFile,
    *,
    importer: str | type[Importer],
    on_duplicate: str = OnDuplicate.SKIP,
    empty_cells: str = EmptyCells.KEEP,
    check_first: bool = False,
    sheet: str = "",
    encoding: str = "",
    delimiter: str = "",
    hidden_rows: str = HiddenRows.IMPORT,
    options: Mapping[str, Any] | None = None,
    has_header_row: bool | None = None,
    column_mapping: Mapping[str, Any] | None = None,
    on_missing_columns: str = OnMissingColumns.ASK,
    file_name: str = "",
    idempotency_key: str = "",
    by: Actor | None = None,
) -> ImportJob:
    """Create an import of a file, which a worker then checks and writes. Returns at once.

    `user` becomes the owner. `file` is read from its start and may be closed afterwards. `importer`
    is a registered importer or its name. With `check_first`, nothing is written before `start` is
    called. `sheet`, `encoding` and `delimiter` are detected if they are empty, and the header row
    if `has_header_row` is None. `file_name` is the name that people see; if it is empty, it is the
    file's own name. `options` are the fields of the importer's upload form, as text, numbers, dates
    or records. The other options are those of the REST API.

    A call with an `idempotency_key` that the user has used before returns the import that the
    earlier call created. `by` is the actor in the history; None is the user, by code of the
    project, for which no permission is checked.

    Raises:
        NotPermitted: `by` names another way, and the importer does not allow it to its user.
        InvalidOption: An argument has a value that it does not accept, or the file is empty or
            larger than IMPORTS_MAX_UPLOAD_BYTES.
        InvalidOptions: The upload form of the importer does not accept `options`.
        UploadFormFailed: The upload form of the importer has a bug.
        InvalidMapping: `column_mapping` has an unknown field, or an entry that names no column.
        IdempotencyKeyReused: The key was used for a different file or with different options.
        OSError: The file cannot be read.
    """
    importer_name = _get_importer_name(importer)
    check_choice("on_duplicate", on_duplicate, OnDuplicate.values)
    check_choice("empty_cells", empty_cells, EmptyCells.values)
    check_choice("hidden_rows", hidden_rows, HiddenRows.values)
    check_choice("on_missing_columns", on_missing_columns, OnMissingColumns.values)
    check_text_options(encoding, delimiter)
    read_options = {
        "sheet": sheet,
        "encoding": encoding,
        "delimiter": delimiter,
        "hidden_rows": "" if hidden_rows == HiddenRows.IMPORT else hidden_rows,
    }
    with _open_file(file, file_name) as opened:
        if not opened.size:
            raise InvalidOption("file", f"{opened.name} is empty.")
        if opened.size > app_settings.MAX_UPLOAD_BYTES:
            limit = f"IMPORTS_MAX_UPLOAD_BYTES ({app_settings.MAX_UPLOAD_BYTES:,})"
            raise InvalidOption(
                "file", f"{opened.name} has {opened.size:,} bytes. {limit} is less."
            )
        return upload(
            user,
            opened,
            importer=importer_name,
            on_duplicate=on_duplicate,
            empty_cells=empty_cells,
            check_first=check_first,
            has_header_row=has_header_row,
            column_mapping=column_mapping,
            on_missing_columns=on_missing_columns,
            read_options={name: value for name, value in read_options.items() if value},
            options=options,
            idempotency_key=idempotency_key,
            by=by,
        )


def _get_importer_name(importer: str | type[Importer]) -> str:
    name = importer if isinstance(importer, str) else importer.name
    names = sorted(registered.name for registered in list_importers())
    if name not in names:
        known = f"These are: {', '.join(names)}." if names else "No importer is registered."
        raise InvalidOption("importer", f"There is no importer {name!r}. {known}")
    return name


def check_choice(option: str, value: object, allowed: list[str]) -> None:
    """Check that the value of an option is one of the allowed ones.

    Raises:
        InvalidOption: It is not.
    """
    if value not in allowed:
        raise InvalidOption(option, f"{value!r} is none of {', '.join(allowed)}.")


def check_text_options(encoding: str, delimiter: str) -> None:
    """Check an encoding and a delimiter; an empty one is detected.

    Raises:
        InvalidOption: There is no such encoding, or the delimiter is not one usable character.
    """
    if encoding and not is_encoding(encoding):
        raise InvalidOption("encoding", f"Python knows no encoding {encoding!r}.")
    if delimiter and not is_delimiter(delimiter):
        raise InvalidOption("delimiter", "Give one character that is no letter, digit or quote.")


@contextmanager
def _open_file(file: ImportFile, file_name: str) -> Iterator[File[bytes]]:
    """Yield the file as a file of Django that can be read twice. Closes only what it opened."""
    if isinstance(file, (str, os.PathLike)):
        with Path(file).open("rb") as stream:
            yield File(stream, file_name or Path(file).name)
        return
    name = file_name or getattr(file, "name", "")
    if not name or not isinstance(name, str):  # The name of an unnamed stream may be a number.
        raise InvalidOption("file_name", "This file has no name. Say what people shall see.")
    if isinstance(file.read(0), str):
        raise InvalidOption("file", f"{name} is open as text. Open it in binary mode.")
    content = file.file if isinstance(file, File) else file
    if content is None:
        raise InvalidOption("file", f"{name} is closed.")
    if content.seekable():
        yield _wrap(content, name)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(content, copy)
        yield _wrap(copy, name)


def _wrap(content: IO[bytes], name: str) -> File[bytes]:
    """Return a file of Django. Its size is that of the content, also of a compressed stream."""
    wrapped = File(content, Path(name).name)
    wrapped.size = content.seek(0, os.SEEK_END)
    return wrapped


def upload(
    owner: AbstractBaseUser,
    file: File[bytes],
    *,
    importer: str,
    on_duplicate: str = OnDuplicate.SKIP,
    empty_cells: str = EmptyCells.KEEP,
    check_first: bool = False,
    on_missing_columns: str = OnMissingColumns.ASK,
    has_header_row: bool | None = None,
    column_mapping: Mapping[str, Any] | None = None,
    read_options: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    idempotency_key: str = "",
    should_enqueue: bool = True,
    is_preview: bool = False,
    by: Actor | None = None,
) -> ImportJob:
    """Store a file and create its import, in one transaction.

    The caller has validated the options, as `create_import` does, except for `options`. These are
    the fields of the importer's upload form, which validates them here. `column_mapping` names the
    columns of fields, as in `column_mapping.resolve_mapping`. A field without an entry gets the
    column that is detected. `has_header_row` None detects the header.

    An upload with an idempotency key that was used before returns the import that the earlier call
    created. With `should_enqueue=False` no worker is asked to check the file, because the caller
    does it; if the caller crashes, recovery asks a worker. With `is_preview`, the import is in no
    list until it is started, and is deleted after IMPORTS_KEEP_PREVIEWS_DAYS. `by` as in
    `create_import`.

    Raises:
        KeyError: There is no such importer.
        NotPermitted: The importer does not allow it to `by`.
        QuotaExceeded: It would exceed a quota of the owner. Code of the project has none.
        InvalidOptions: The upload form of the importer does not accept `options`.
        UploadFormFailed: The upload form of the importer has a bug.
        InvalidMapping: The column mapping has an unknown field, or an entry that names no column.
        IdempotencyKeyReused: The key was used for a different upload.
    """
    # Errors are raised before anything is stored.
    known_importer = get_importer(importer)
    by = by or PYTHON._replace(user=owner)
    check_upload(by, known_importer, on_duplicate)
    importer_options = clean_options(known_importer, owner, options or {})
    if column_mapping is not None:
        validate_mapping(column_mapping, known_importer)
    digest = _digest(file)
    fields: dict[str, Any] = {
        "importer": importer,
        "on_duplicate": on_duplicate,
        "empty_cells": empty_cells,
        "check_first": check_first,
        "on_missing_columns": on_missing_columns,
        "has_header_row": has_header_row,
        "column_mapping": column_mapping,
        "read_options": dict(read_options or {}),
        "importer_options": importer_options,
    }
    request = f"{digest}:{json.dumps(fields, sort_keys=True)}"
    with atomic():
        key = get_or_create_key(owner, idempotency_key, request) if idempotency_key else None
        if key and key.job:
            return key.job
        job = ImportJob(
            **fields,
            is_preview=is_preview,
            owner_id=owner.pk,
            file_name=_clean_file_name(file.name or ""),
            file_size=file.size or 0,
            file_digest=digest,
        )
        if has_quota(by):
            # Before the file is stored; the second check, under the lock, is exact.
            check_quotas(owner.pk, job.file_size)
        job.file.save(f"{FILE_FOLDER}/{job.id}", file, save=False)
        if has_quota(by):
            _check_quotas_exactly(job)
        job.save(force_insert=True)
        if key:
            key.job = job
            key.save(update_fields=["job"])
        record_event(job.pk, Command.UPLOAD, by)
        if should_enqueue:
            on_commit(actors.enqueue_check)
    publish_after_commit(job)
    return job


def _clean_file_name(name: str) -> str:
    """Return the name without control characters, which may hide its ending; only for display."""
    return "".join(filter(str.isprintable, name))[-MAX_FILE_NAME_CHARS:]


def _check_quotas_exactly(job: ImportJob) -> None:
    """Check the quotas again, while no other upload of the user can be stored.

    Raises:
        QuotaExceeded: Another upload was stored meanwhile. The file of this one is deleted.
    """
    lock_quotas(job.owner_id)
    try:
        check_quotas(job.owner_id, job.file_size)
    except QuotaExceeded:
        job.file.delete(save=False)  # A storage outside the database has no rollback.
        raise


def _digest(file: File[bytes]) -> str:
    """Return the SHA-256 digest of the file."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()
