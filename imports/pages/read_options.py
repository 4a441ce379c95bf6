"""How an import's file was read and is to be taken: the form to say otherwise."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from imports.models import ImportJob
from imports.statuses import EmptyCells, HiddenRows, OnDuplicate, Status

HOW_READ = ("sheet", "encoding", "delimiter", "hidden_rows")
OF_HIDDEN_ROWS = {"hidden_row", "hidden_row_skipped"}  # Codes of a read summary.
ENCODINGS = {
    "utf-8": _("Unicode (UTF-8)"),
    "utf-16": _("Unicode (UTF-16)"),
    "windows-1252": _("Western European (Windows)"),
    "mac-roman": _("Western European (Mac)"),
    "cp850": _("Western European (DOS)"),
    "windows-1250": _("Central European (Windows)"),
    "windows-1251": _("Cyrillic (Windows)"),
    "windows-1253": _("Greek (Windows)"),
    "windows-1254": _("Turkish (Windows)"),
    "windows-1256": _("Arabic (Windows)"),
    "gb18030": _("Chinese (GB 18030)"),
}
DELIMITERS = {",": _("Comma"), ";": _("Semicolon"), "\t": _("Tab"), "|": _("Bar")}


def options_offered(job: ImportJob) -> OptionsForm | None:
    """The form; of a file that could not be read only where it can be read otherwise."""
    form = OptionsForm(job)
    return form if job.status != Status.FAILED or form.fields.keys() & set(HOW_READ) else None


class OptionsForm(forms.Form):
    """What may be changed before anything is written; only what this file leaves open."""

    sheet = forms.ChoiceField(label=_("Sheet"))
    encoding = forms.ChoiceField(label=_("Characters are written in"))
    delimiter = forms.ChoiceField(label=_("Columns are separated by"))
    hidden_rows = forms.ChoiceField(label=_("Rows hidden in the workbook"), choices=HiddenRows)
    has_header_row = forms.BooleanField(
        label=_("The file has a row that names its columns"),
        help_text=_("Without one, columns are taken in our own order, and you see the result."),
        required=False,
    )
    on_duplicate = forms.ChoiceField(
        label=_("If a row is already in the system"), choices=OnDuplicate
    )
    empty_cells = forms.ChoiceField(label=_("If one of its cells is empty"), choices=EmptyCells)

    def __init__(self, job: ImportJob, sent: Any = None) -> None:
        self.is_read = bool(job.detected_format)
        self.opened = (job.detected_format or _told(job)) | {
            "hidden_rows": job.read_options.get("hidden_rows", HiddenRows.IMPORT)
        }
        kept = ("has_header_row", "on_duplicate", "empty_cells")
        initial = self.opened | {name: getattr(job, name) for name in kept}
        super().__init__(sent, initial=initial, auto_id="option-%s", label_suffix="")
        self._offer("sheet", {name: name for name in self.opened["sheets"]})
        self._offer("encoding", ENCODINGS)
        self._offer("delimiter", DELIMITERS)
        if not has_hidden_rows(job):
            del self.fields["hidden_rows"]
        if self.opened["format"] in {"json", "jsonl"}:  # Each of its rows names its columns.
            del self.fields["has_header_row"]

    def _offer(self, name: str, known: dict[str, Any]) -> None:
        """The choices, and what was found among them; nothing where there is one."""
        found = self.opened[name]
        if not self.is_read:
            known = {"": _("Let it be found out")} | known
        choices = known if found in known else {found: found} | known
        if found is None or len(choices) < 2:
            del self.fields[name]
        else:
            self.fields[name].choices = list(choices.items())
            self.fields[name].required = self.is_read

    def changed(self) -> dict[str, Any]:
        """What to check anew with. Read otherwise, a file is shown before it is written."""
        told = dict(self.cleaned_data)
        read = {name: told.pop(name) for name in HOW_READ if name in told}
        read = {name: value for name, value in read.items() if value != self.opened[name]}
        if read.get("hidden_rows") == HiddenRows.IMPORT:  # As without the option.
            read["hidden_rows"] = ""
        return told | {"check_first": True} | ({"read_options": read} if read else {})


def has_hidden_rows(job: ImportJob) -> bool:
    """Whether the file has rows that its workbook hides, as far as it was read."""
    return any(entry["code"] in OF_HIDDEN_ROWS for entry in job.read_summary)


def _told(job: ImportJob) -> dict[str, Any]:
    """Of a file that could not be read, how it was to be read."""
    unknown = "" if job.error_code == "unknown_encoding" else None
    told = {"sheet": None, "encoding": unknown, "delimiter": None} | job.read_options
    return told | {"format": None, "sheets": (job.error_params or {}).get("sheets", [])}
