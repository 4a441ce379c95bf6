"""The form that changes how the file of an import is read and imported."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from imports.importer import get_importer, is_registered
from imports.models import ImportJob
from imports.permissions import User, list_allowed_policies
from imports.statuses import (
    DELIMITER_LABELS,
    ENCODING_LABELS,
    EmptyCells,
    HiddenRows,
    OnDuplicate,
    OnMissingColumns,
    Status,
)

READ_OPTION_NAMES = ("sheet", "encoding", "delimiter", "hidden_rows")
HIDDEN_ROW_CODES = {"hidden_row", "hidden_row_skipped"}  # Codes of read summary entries.


def make_options_form(job: ImportJob, user: User) -> OptionsForm | None:
    """Return the form; None for a failed import whose file has no other way to be read."""
    form = OptionsForm(job, user)
    has_read_options = bool(form.fields.keys() & set(READ_OPTION_NAMES))
    return form if job.status != Status.FAILED or has_read_options else None


class OptionsForm(forms.Form):
    """Options that may change until the import writes. Offers only what applies to the file."""

    sheet = forms.ChoiceField(label=_("Sheet"))
    encoding = forms.ChoiceField(label=_("Character encoding"))
    delimiter = forms.ChoiceField(label=_("Column delimiter"))
    hidden_rows = forms.ChoiceField(label=_("Hidden rows"), choices=HiddenRows)
    has_header_row = forms.BooleanField(
        label=_("The file has a header row"),
        help_text=_(
            "Without a header row, the columns are read in our standard order. You can review the "
            "result."
        ),
        required=False,
    )
    on_duplicate = forms.ChoiceField(
        label=_("If a row matches an existing record"), choices=OnDuplicate
    )
    empty_cells = forms.ChoiceField(label=_("If a cell of the row is empty"), choices=EmptyCells)

    def __init__(self, job: ImportJob, user: User, data: QueryDict | None = None) -> None:
        self.is_read = bool(job.detected_format)
        self.current: dict[str, Any] = (job.detected_format or _get_requested_format(job)) | {
            "hidden_rows": job.read_options.get("hidden_rows", HiddenRows.IMPORT)
        }
        self.initial_has_header_row = _has_header_row(job)
        initial = self.current | {
            "has_header_row": self.initial_has_header_row,
            "on_duplicate": job.on_duplicate,
            "empty_cells": job.empty_cells,
        }
        super().__init__(data, initial=initial, auto_id="option-%s", label_suffix="")
        self._limit_policies(job, user)
        self._set_choices("sheet", {name: name for name in self.current["sheets"]})
        self._set_choices("encoding", ENCODING_LABELS)
        self._set_choices("delimiter", DELIMITER_LABELS)
        if not has_hidden_rows(job):
            del self.fields["hidden_rows"]
        if self.current["format"] in {"json", "jsonl"}:  # Every row names its columns.
            del self.fields["has_header_row"]

    def _limit_policies(self, job: ImportJob, user: User) -> None:
        """Offer the policies that the importer allows the user."""
        field = self.fields["on_duplicate"]
        assert isinstance(field, forms.ChoiceField)
        if is_registered(job.importer):
            allowed = list_allowed_policies(user, get_importer(job.importer))
            field.choices = [choice for choice in OnDuplicate.choices if choice[0] in allowed]

    def _set_choices(self, name: str, known: dict[str, Any]) -> None:
        """Offer the known values and the current one; remove a field with only one choice."""
        current, field = self.current[name], self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        if not self.is_read:
            known = {"": _("Detect automatically"), **known}
        choices = known if current in known else {current: current} | known
        if current is None or len(choices) < 2:
            del self.fields[name]
        else:
            field.choices = list(choices.items())
            field.required = self.is_read

    def get_changes(self) -> dict[str, object]:
        """Return the values to check the import with.

        The check always stops for a review, so that the user sees the result of other options
        before anything is written.
        """
        changes: dict[str, object] = dict(self.cleaned_data)
        submitted = {name: changes.pop(name) for name in READ_OPTION_NAMES if name in changes}
        read_options = {
            name: value for name, value in submitted.items() if value != self.current[name]
        }
        if read_options.get("hidden_rows") == HiddenRows.IMPORT:  # The same as without the option.
            read_options["hidden_rows"] = ""
        changes |= {"check_first": True, "on_missing_columns": OnMissingColumns.ASK}
        if changes.get("has_header_row") == self.initial_has_header_row:
            del changes["has_header_row"]
        if read_options:
            changes["read_options"] = read_options
        return changes


def has_hidden_rows(job: ImportJob) -> bool:
    """Return whether hidden rows were found in the part of the file that was read."""
    return any(entry["code"] in HIDDEN_ROW_CODES for entry in job.read_summary)


def _has_header_row(job: ImportJob) -> bool:
    """Return whether the file was read with a header row, or is to be read with one."""
    if job.detected_columns:
        return bool(job.detected_columns["header_row"])
    return job.has_header_row is not False


def _get_requested_format(job: ImportJob) -> dict[str, Any]:
    """Return how a file that could not be read was requested to be read."""
    encoding = "" if job.error_code == "unknown_encoding" else None
    return {
        "sheet": None,
        "encoding": encoding,
        "delimiter": None,
        **job.read_options,
        "format": None,
        "sheets": (job.error_params or {}).get("sheets", []),
    }
