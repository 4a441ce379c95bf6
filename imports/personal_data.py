"""What imports hold about one person: found, exported and erased.

A person is named by a value, such as an e-mail address or a phone number. It is compared with the
staged rows, with the rows of the stored files, and with the texts of the imports themselves. A
stored file is opened only by the reader process. Hidden sheets, comments and properties of a
workbook are not among its rows, so the value is also searched in all texts of the file.

Erasing deletes the contents of each import that holds the value: a file cannot be changed without
parsing and writing a hostile format, and an import with some of its rows blanked could no longer be
undone correctly. Counts, history and written records stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

from django.apps import apps
from django.db.models import F, Model
from django.db.models.functions import Now

from imports import actors, retention
from imports.history import PERSON_EXPORT, Actor, Command, record_event
from imports.importer import Column, InvalidValue, get_importer_or_placeholder
from imports.models import ImportJob, ImportRow
from imports.pipeline.field_cleaning import get_cleaner
from imports.pipeline.reader_client import (
    Chunk,
    ReaderCrashed,
    ReaderLimits,
    UnreadableFile,
    open_rows,
    open_texts,
)
from imports.postgres import atomic, on_commit
from imports.row_results import annotate_result
from imports.snapshots import format_optional_time
from imports.transitions import TransitionNotAllowed

ROWS_PER_QUERY = 2_000
TEXT_FORMATS = frozenset({"csv", "json", "jsonl"})  # Everything in such a file is a row.
MAX_CLEANED_CHARS = 100  # Longer texts outside of rows are not cleaned as values of columns.
# The fields of an import that may quote the file or the user.
TEXT_FIELDS = (
    "detected_columns",
    "detected_format",
    "read_summary",
    "read_options",
    "importer_options",
    "column_mapping",
    "field_values",
    "error_params",
)
ERASED_FILE_NAME = "erased"
MAX_LOGGED_NAME_CHARS = 200


@dataclass(frozen=True)
class SearchedValue:
    """The value that names a person.

    `column` restricts the search to the column of this field. With `is_part`, the value may also be
    a part of a longer text. Case and surrounding spaces never count.
    """

    text: str
    column: str | None = None
    is_part: bool = False


@dataclass
class Finding:
    """What one import holds about the person."""

    job: ImportJob
    rows: list[dict[str, Any]] = field(default_factory=list)  # Staged rows.
    file_rows: list[dict[str, Any]] = field(default_factory=list)  # Rows of the stored file.
    # Texts of a stored workbook outside of its visible rows.
    other_texts: list[dict[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # Names of fields of the import.
    unread_file: str | None = None  # The code of the error, if the file could not be searched.

    @property
    def is_hit(self) -> bool:
        return bool(self.rows or self.file_rows or self.other_texts or self.texts)

    def as_json(self) -> dict[str, Any]:
        """Return everything that was found, for an export."""
        return {
            "import": str(self.job.pk),
            "importer": self.job.importer,
            "file_name": self.job.file_name,
            "owner": None if self.job.owner is None else self.job.owner.get_username(),
            "uploaded_at": format_optional_time(self.job.created_at),
            "finished_at": format_optional_time(self.job.finished_at),
            "rows": self.rows,
            "file_rows": self.file_rows,
            "other_texts_of_the_file": self.other_texts,
            "fields_of_the_import": {name: getattr(self.job, name) for name in self.texts},
        }


# --- Finding -----------------------------------------------------------------


class Matcher:
    """Compares the cells and texts of one import with a value."""

    def __init__(self, value: SearchedValue, job: ImportJob) -> None:
        self.value = value
        self.importer = get_importer_or_placeholder(job.importer)
        self._texts = {_normalize(value.text)}
        self._columns = {column.field: column for column in self.importer.columns}
        # The cleaned value of each column, such as a phone number in the international form.
        self._cleaned = {
            column.field: cleaned
            for column in self.importer.columns
            if value.column in (None, column.field)
            and (cleaned := self._clean(column, value.text)) is not None
        }
        self._texts |= {_normalize(cleaned) for cleaned in self._cleaned.values()}

    def _clean(self, column: Column, cell: Any) -> str | None:
        try:
            return get_cleaner(self.importer, column)(cell)
        except InvalidValue:
            return None
        except Exception:  # A function of the project. A cell that it cannot take does not match.
            return None

    def matches_text(self, text: Any) -> bool:
        if text is None or isinstance(text, bool):
            return False
        normalized = _normalize(str(text))
        if normalized in self._texts:
            return True
        return self.value.is_part and any(part in normalized for part in self._texts)

    def matches_cell(self, cell: Any, name: str | None = None) -> bool:
        """Whether a cell as it was read, in the column of a field or in another one, matches."""
        if cell is None or isinstance(cell, bool):
            return False
        if self.matches_text(cell):
            return True
        cleaned = self._cleaned.get(name) if name is not None else None
        return cleaned is not None and self._clean(self._columns[str(name)], cell) == cleaned

    def matches_json(self, value: Any) -> bool:
        """Whether a text anywhere in a JSON value matches."""
        if isinstance(value, Mapping):
            return any(map(self.matches_json, value.values()))
        if isinstance(value, list | tuple):
            return any(map(self.matches_json, value))
        return self.matches_text(value)

    def matches_words(self, text: str, *, is_exact: bool = True) -> bool:
        """Whether a text holds the value as whole words, or as any part if `value.is_part`.

        If the text is not exact (see `TextsOfPart`), letters may follow the value immediately.
        """
        return self._is_in(text, is_exact) or (
            "%" in text and self._is_in(unquote(text), is_exact)  # A URL with escapes.
        )

    def _is_in(self, text: str, is_exact: bool) -> bool:
        normalized = text.lower()
        if not any(part in normalized for part in self._texts):
            return False
        if self.value.is_part:
            return True
        end = r"(?!\w)" if is_exact else ""
        return any(re.search(rf"(?<!\w){re.escape(part)}{end}", normalized) for part in self._texts)

    def matches_outside_of_rows(self, text: str, *, is_exact: bool) -> bool:
        """Whether a text holds the value, or the rule of a column cleans both to the same value."""
        if self.matches_words(text, is_exact=is_exact):
            return True
        return (
            is_exact
            and len(text) <= MAX_CLEANED_CHARS
            and any(
                self._clean(self._columns[name], text) == v for name, v in self._cleaned.items()
            )
        )

    def includes(self, name: str | None) -> bool:
        """Whether the column of a field is searched. None stands for a column without a field."""
        return self.value.column in (None, name)


def _normalize(text: str) -> str:
    return text.strip().lower()


def find_person(value: SearchedValue) -> Iterator[Finding]:
    """Search all imports, the oldest first, and yield those that hold the value.

    Also yields each import whose file could not be searched. Reads every staged row and every
    stored file.
    """
    for job in ImportJob.objects.select_related("owner").order_by("created_at").iterator(50):
        finding = _search_import(job, Matcher(value, job))
        if finding.is_hit or finding.unread_file:
            yield finding


def _search_import(job: ImportJob, matcher: Matcher) -> Finding:
    finding = Finding(job)
    names_by_index = _map_columns(job)
    finding.rows = list(_search_rows(job, matcher, names_by_index))
    visible = VisibleCells(matcher)
    with _reporting_unread_file(finding):
        finding.file_rows = list(_search_file(job, matcher, names_by_index, visible))
    if matcher.value.column is None:
        with _reporting_unread_file(finding):
            finding.other_texts.extend(_search_other_texts(job, matcher, visible))
        if _normalize(matcher.value.text) in _normalize(job.file_name):
            finding.texts.append("file_name")
        finding.texts += [name for name in TEXT_FIELDS if _has_text(getattr(job, name), matcher)]
    return finding


@contextmanager
def _reporting_unread_file(finding: Finding) -> Iterator[None]:
    try:
        yield
    except UnreadableFile as error:
        finding.unread_file = finding.unread_file or error.code
    except (ReaderCrashed, OSError) as error:
        finding.unread_file = finding.unread_file or type(error).__name__


class VisibleCells:
    """The texts of visible cells, which are not reported again as texts outside of the rows.

    These are all cells of the rows that match, and the cells of other rows that hold the value.
    """

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.is_text_file = False
        self._texts: set[str] = set()

    def add(self, cells: Iterable[Any], *, has_matched: bool) -> None:
        for cell in cells:
            if has_matched or (isinstance(cell, str) and self.matcher.matches_words(cell)):
                self._texts.add(_normalize(str(cell)))

    def __contains__(self, text: str) -> bool:
        return _normalize(text) in self._texts


def _search_other_texts(
    job: ImportJob, matcher: Matcher, visible: VisibleCells
) -> Iterator[dict[str, str]]:
    """Yield the texts of a workbook that hold the value, except those of visible cells.

    Raises:
        UnreadableFile: The file, or a part of it, cannot be read.
        ReaderCrashed: The reader process crashed.
        OSError: The file is missing.
    """
    if not job.file or visible.is_text_file:
        return
    limits = ReaderLimits.from_settings()
    seen: set[str] = set()
    with (
        job.file.storage.open(str(job.file.name)) as file,
        open_texts(file, limits=limits) as parts,
    ):
        for part in parts:
            for text in part.texts:
                is_hit = matcher.matches_outside_of_rows(text, is_exact=part.is_exact)
                if is_hit and text not in visible and text not in seen:
                    seen.add(text)
                    yield {"part": part.part_name, "text": text}


def _map_columns(job: ImportJob) -> dict[int, str]:
    """Return the field that each column of the file fills, by the index of the column."""
    columns = job.detected_columns or {}
    fields = {index: name for name, index in columns.get("positions", {}).items()}
    for joined in (columns.get("equals", {}), columns.get("fallbacks", {})):
        fields |= {index: name for name, indexes in joined.items() for index in indexes}
    return fields


def _search_rows(
    job: ImportJob, matcher: Matcher, names_by_index: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    fields = [column.field for column in matcher.importer.columns]
    rows = annotate_result(ImportRow.objects.filter(job=job))
    for row in rows.order_by("number").iterator(ROWS_PER_QUERY):
        values = dict(_name_values(fields, row.cleaned))
        previous = dict(_name_values(fields, row.previous_values))
        cells = row.cells or []
        errors = row.errors or []
        is_match = (
            any(_search_named(matcher, values))
            or any(_search_named(matcher, previous))
            or any(_search_cells(matcher, cells, names_by_index))
            or any(
                matcher.includes(error["field"])
                and matcher.matches_json([error["value"], error["params"], error.get("message")])
                for error in errors
            )
        )
        if is_match:
            yield {
                "row": row.number,
                "outcome": row.result,
                "record": row.target_id,
                "values": values,
                "previous_values": previous,
                "cells": cells,
                "errors": errors,
            }


def _name_values(
    fields: list[str], values: Iterable[str | None] | None
) -> Iterator[tuple[str, str | None]]:
    """Yield each value with the field of its column, or with a number if the column is gone."""
    for index, value in enumerate(values or ()):
        yield fields[index] if index < len(fields) else str(index + 1), value


def _search_named(matcher: Matcher, values: Mapping[str, str | None]) -> Iterator[bool]:
    for name, value in values.items():
        yield matcher.includes(name) and matcher.matches_text(value)


def _search_cells(
    matcher: Matcher, cells: Iterable[Any], names_by_index: Mapping[int, str]
) -> Iterator[bool]:
    for index, cell in enumerate(cells):
        name = names_by_index.get(index)
        # Before the columns of a file are known, any of them may be the searched one.
        is_searched = matcher.includes(name) or not names_by_index
        yield is_searched and (
            matcher.matches_json(cell)
            if isinstance(cell, list)
            else matcher.matches_cell(cell, name or matcher.value.column)
        )


def _search_file(
    job: ImportJob,
    matcher: Matcher,
    names_by_index: Mapping[int, str],
    visible: VisibleCells,
) -> Iterator[dict[str, Any]]:
    """Yield the matching rows of all visible sheets of the stored file.

    Raises:
        UnreadableFile: The file cannot be read.
        ReaderCrashed: The reader process crashed.
        OSError: The file is missing.
    """
    if not job.file:
        return
    options = {name: str(text) for name, text in job.read_options.items() if text}
    sheets: list[str | None] = [None]  # First the sheet that the import has read.
    seen: set[str | None] = set()
    while sheets:
        name = sheets.pop(0)
        chosen = options if name is None else {**options, "sheet": name}
        with (
            job.file.storage.open(str(job.file.name)) as file,
            open_rows(file, limits=ReaderLimits.from_settings(), options=chosen) as reader,
        ):
            is_first = not seen
            seen.add(reader.detected_format.sheet)
            if is_first:
                others = reader.detected_format.sheets
                sheets += [other for other in others if other not in seen]
            visible.is_text_file = reader.detected_format.format in TEXT_FORMATS
            sheet, chunks = reader.detected_format.sheet, iter(reader)
            # The columns of another sheet are not those of the import.
            known = names_by_index if is_first else {}
            yield from _search_chunks(matcher, chunks, sheet, known, visible)


def _search_chunks(
    matcher: Matcher,
    chunks: Iterable[Chunk],
    sheet: str | None,
    names_by_index: Mapping[int, str],
    visible: VisibleCells,
) -> Iterator[dict[str, Any]]:
    for chunk in chunks:
        for number, cells in chunk.list_rows():
            is_match = any(_search_cells(matcher, cells, names_by_index))
            visible.add(cells, has_matched=is_match)
            if is_match:
                yield {"sheet": sheet, "row": number, "cells": [*cells]}


def record_export(findings: Iterable[Finding], by: Actor) -> None:
    """Record in the history of each import that data of one person was exported."""
    for finding in findings:
        record_event(finding.job.pk, Command.DOWNLOAD, by, {"file": PERSON_EXPORT})


# --- Erasing -----------------------------------------------------------------


def check_erasable(job: ImportJob) -> None:
    """Check that data of a person can be erased from the import.

    Raises:
        TransitionNotAllowed: The import is in progress, and uses its file and rows.
    """
    if not job.is_final:
        raise TransitionNotAllowed(
            f"The import is {job.status} and uses its file and its rows. Wait until it has ended, "
            "or cancel it, and run the command again."
        )


def erase(finding: Finding, value: SearchedValue, by: Actor) -> None:
    """Delete the contents of the import, and remove the value from the texts of the import.

    The file and the rows are inaccessible at once. `imports.purge` deletes the rows. The history
    has the command and the number of rows, and never the value.

    Raises:
        TransitionNotAllowed: The import or a retry of its rows is in progress.
        ImportJob.DoesNotExist: The import was deleted.
    """
    with atomic():
        job = retention.lock_import(finding.job.pk)
        check_erasable(job)
        if job.has_contents:
            job = retention.mark_contents_deleted(job)
        _erase_texts(job, Matcher(value, job), finding)
        details = {"rows": len(finding.rows) or len(finding.file_rows)}
        record_event(job.pk, Command.ERASE, by, details)
        on_commit(actors.enqueue_purge)


def _erase_texts(job: ImportJob, matcher: Matcher, finding: Finding) -> None:
    changes: dict[str, Any] = {
        name: _blank(getattr(job, name), matcher) for name in TEXT_FIELDS if name in finding.texts
    }
    if "file_name" in finding.texts:
        changes["file_name"] = ERASED_FILE_NAME + PurePath(job.file_name).suffix[:10]
        _rename_in_admin_log(job, changes["file_name"])
    if changes:
        changes |= {"version": F("version") + 1, "updated_at": Now()}
        ImportJob.objects.filter(pk=job.pk).update(**changes)


def _has_text(value: Any, matcher: Matcher) -> bool:
    """Whether a text in a JSON value matches. Numbers are counts and indexes, and never match."""
    if isinstance(value, Mapping):
        return any(_has_text(each, matcher) for each in value.values())
    if isinstance(value, list):
        return any(_has_text(each, matcher) for each in value)
    return isinstance(value, str) and matcher.matches_text(value)


def _blank(value: Any, matcher: Matcher) -> Any:
    """Return a JSON value in which each matching text is empty."""
    if isinstance(value, Mapping):
        return {key: _blank(each, matcher) for key, each in value.items()}
    if isinstance(value, list):
        return [_blank(each, matcher) for each in value]
    return "" if _has_text(value, matcher) else value


def _rename_in_admin_log(job: ImportJob, name: str) -> None:
    """Replace the name of the file in the log of Django's admin, which quotes it."""
    if not apps.is_installed("django.contrib.admin"):
        return
    log_entry: type[Model] = apps.get_model("admin", "LogEntry")
    log_entry._default_manager.filter(
        object_id=str(job.pk), content_type__app_label="imports", content_type__model="importjob"
    ).update(object_repr=name[:MAX_LOGGED_NAME_CHARS], change_message="")
