"""The forms that upload files and filter the list of imports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from imports.conf import app_settings
from imports.importer import list_importers
from imports.models import ImportJob
from imports.permissions import User
from imports.statuses import EmptyCells, OnDuplicate, Status

STATUS_GROUPS = {
    "in_progress": (Status.QUEUED, Status.CHECKING, Status.RUNNING, Status.UNDOING),
    "waiting": (Status.MAPPING, Status.READY, Status.PAUSED),
    "complete": (Status.COMPLETE,),
    "failed": (Status.FAILED,),
    "stopped": (Status.CANCELLED, Status.UNDONE),
}

ACCEPTED_FILES = ".xlsx,.xlsm,.xlsb,.xls,.ods,.csv,.tsv,.txt,.json,.jsonl"


class MultipleFilesInput(forms.FileInput):
    allow_multiple_selected = True


class MultipleFilesField(forms.FileField):
    """One or more files. Each file becomes an import of its own."""

    def clean(
        self, data: Sequence[UploadedFile[bytes]] | None, initial: object = None
    ) -> list[UploadedFile[bytes]]:
        if not data or len(data) == 1:
            return [self._clean_file(data[0] if data else None)]
        return [self._clean_named_file(file) for file in data]

    def _clean_named_file(self, data: UploadedFile[bytes]) -> UploadedFile[bytes]:
        """Clean one of several files. An error names the file."""
        try:
            return self._clean_file(data)
        except forms.ValidationError as error:
            text = " ".join(error.messages)
            raise forms.ValidationError(f"{data.name}: {text}") from None

    def _clean_file(self, data: UploadedFile[bytes] | None) -> UploadedFile[bytes]:
        file: UploadedFile[bytes] = super().clean(data)
        if (file.size or 0) > app_settings.MAX_UPLOAD_BYTES:
            raise forms.ValidationError(get_too_large_message())
        return file


class UploadForm(forms.Form):
    """Files, their importer, and what to do with rows that match an existing record."""

    file = MultipleFilesField(
        label=_("Spreadsheet"),
        max_length=None,
        widget=MultipleFilesInput(attrs={"accept": ACCEPTED_FILES}),
        error_messages={
            "required": _("Choose a file first."),
            "empty": _("The file is empty. Choose a file that contains rows."),
        },
    )
    importer = forms.ChoiceField(label=_("Import as"))
    on_duplicate = forms.ChoiceField(
        label=_("If a row matches an existing record"),
        choices=OnDuplicate,
        initial=OnDuplicate.SKIP,
        widget=forms.RadioSelect,
    )
    empty_cells = forms.TypedChoiceField(
        label=_("If a cell of the row is empty"),
        choices=EmptyCells,
        required=False,
        empty_value=EmptyCells.KEEP,
    )
    check_first = forms.BooleanField(
        label=_("Check first"),
        help_text=_(
            "Review the result of the check and start the import yourself. Nothing is written "
            "before that."
        ),
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(i.name, capfirst(i.model._meta.verbose_name_plural)) for i in list_importers()]
        importer = self.fields["importer"]
        assert isinstance(importer, forms.ChoiceField)
        importer.choices = choices
        if len(choices) == 1:
            importer.widget, importer.initial = forms.HiddenInput(), choices[0][0]


def get_upload_options(job: ImportJob) -> dict[str, object]:
    """Return the options of an import, as initial values for the upload of its corrected file."""
    names = ("importer", "on_duplicate", "empty_cells", "check_first")
    return {name: getattr(job, name) for name in names}


def get_too_large_message() -> str:
    max_size = filesizeformat(app_settings.MAX_UPLOAD_BYTES)
    return gettext("The file is larger than %(most)s. Split it into several files.") % {
        "most": max_size
    }


class FilterForm(forms.Form):
    """Which imports the list shows. Invalid filters are ignored."""

    q = forms.CharField(
        label=_("File name"), required=False, widget=forms.TextInput(attrs={"type": "search"})
    )
    status = forms.ChoiceField(
        label=_("Status"),
        required=False,
        choices=[
            ("", _("All")),
            ("in_progress", _("In progress")),
            ("waiting", _("Action required")),
            ("complete", _("Complete")),
            ("failed", _("Failed")),
            ("stopped", _("Cancelled or undone")),
        ],
    )
    owner = forms.ChoiceField(
        label=_("Owner"), required=False, choices=[("", _("Everyone")), ("me", _("Me"))]
    )

    def filter_imports(self, jobs: QuerySet[ImportJob], user: User) -> QuerySet[ImportJob]:
        """Return the imports that match the valid filters. `user` is the owner "me"."""
        self.is_valid()  # Fills cleaned_data with the valid filters.
        filters = self.cleaned_data
        if name := filters.get("q"):
            jobs = jobs.filter(file_name__icontains=name)
        if group := filters.get("status"):
            jobs = jobs.filter(status__in=STATUS_GROUPS[group])
        return jobs.filter(owner=user.pk) if filters.get("owner") else jobs
