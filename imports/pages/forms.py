"""What someone fills in to upload files, and to find an import again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from imports.importer import list_importers
from imports.models import ImportJob
from imports.statuses import EmptyCells, OnDuplicate, Status

GROUPS = {
    "moving": (Status.QUEUED, Status.CHECKING, Status.RUNNING, Status.UNDOING),
    "waiting": (Status.MAPPING, Status.READY, Status.PAUSED),
    "complete": (Status.COMPLETE,),
    "failed": (Status.FAILED,),
    "stopped": (Status.CANCELLED, Status.UNDONE),
}


ACCEPTED_FILES = ".xlsx,.xlsm,.xlsb,.xls,.ods,.csv,.tsv,.txt,.json,.jsonl"


class FilesInput(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One file or several; each becomes an import of its own."""

    def clean(self, sent: Any, initial: Any = None) -> list[UploadedFile]:
        if not sent or len(sent) == 1:
            return [self.clean_one(sent[0] if sent else None)]
        return [self.clean_of_several(file) for file in sent]

    def clean_of_several(self, sent: UploadedFile) -> UploadedFile:
        """The same, where what is wrong must say with which of them."""
        try:
            return self.clean_one(sent)
        except forms.ValidationError as error:
            text = " ".join(error.messages)
            raise forms.ValidationError(f"{sent.name}: {text}") from None

    def clean_one(self, sent: Any) -> UploadedFile:
        file = super().clean(sent)
        if file.size > settings.IMPORT_MAX_UPLOAD_BYTES:
            raise forms.ValidationError(too_large())
        return file


class UploadForm(forms.Form):
    """Files, what they hold, and what to do with rows whose record exists."""

    file = FilesField(
        label=_("Spreadsheet"),
        max_length=None,
        widget=FilesInput(attrs={"accept": ACCEPTED_FILES}),
        error_messages={
            "required": _("Choose a file first."),
            "empty": _("The file is empty. Choose the file that holds your rows."),
        },
    )
    importer = forms.ChoiceField(label=_("It holds"))
    on_duplicate = forms.ChoiceField(
        label=_("If a row is already in the system"),
        choices=OnDuplicate,
        initial=OnDuplicate.SKIP,
        widget=forms.RadioSelect,
    )
    empty_cells = forms.TypedChoiceField(
        label=_("If one of its cells is empty"),
        choices=EmptyCells,
        required=False,
        empty_value=EmptyCells.KEEP,
    )
    check_first = forms.BooleanField(
        label=_("Check first"),
        help_text=_("Nothing is written until you have seen what would happen and press Start."),
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(i.name, capfirst(i.model._meta.verbose_name_plural)) for i in list_importers()]
        importer = self.fields["importer"]
        importer.choices = choices
        if len(choices) == 1:  # Nothing to choose.
            importer.widget, importer.initial = forms.HiddenInput(), choices[0][0]


def choices_of(job: ImportJob) -> dict[str, Any]:
    """What was chosen for an import, to begin with for the next."""
    names = ("importer", "on_duplicate", "empty_cells", "check_first")
    return {name: getattr(job, name) for name in names}


def too_large() -> str:
    most = filesizeformat(settings.IMPORT_MAX_UPLOAD_BYTES)
    return gettext("The file is larger than %(most)s. Split it into several files.") % {
        "most": most
    }


class FilterForm(forms.Form):
    """Which imports the list shows. What cannot be understood is left out."""

    q = forms.CharField(
        label=_("File name"), required=False, widget=forms.TextInput(attrs={"type": "search"})
    )
    status = forms.ChoiceField(
        label=_("Status"),
        required=False,
        choices=[
            ("", _("All")),
            ("moving", _("Under way")),
            ("waiting", _("Waiting for you")),
            ("complete", _("Complete")),
            ("failed", _("Failed")),
            ("stopped", _("Cancelled or undone")),
        ],
    )
    whose = forms.ChoiceField(
        label=_("Whose"), required=False, choices=[("", _("Everyone's")), ("mine", _("Mine"))]
    )

    def found_in(self, jobs: QuerySet[ImportJob], owner_id: int) -> QuerySet[ImportJob]:
        self.is_valid()  # An answer either way: only what is valid is cleaned.
        asked = self.cleaned_data
        if name := asked.get("q"):
            jobs = jobs.filter(file_name__icontains=name)
        if group := asked.get("status"):
            jobs = jobs.filter(status__in=GROUPS[group])
        return jobs.filter(owner=owner_id) if asked.get("whose") else jobs
