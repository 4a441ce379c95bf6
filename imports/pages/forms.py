"""What someone fills in to upload a file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from imports.importer import registered
from imports.statuses import OnDuplicate


class UploadForm(forms.Form):
    """A file, what it holds, and what to do with rows whose record exists."""

    file = forms.FileField(
        label=_("Spreadsheet"),
        max_length=None,
        widget=forms.FileInput(attrs={"accept": ".xlsx,.csv"}),
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
    check_first = forms.BooleanField(
        label=_("Check first"),
        help_text=_("Nothing is written until you have seen what would happen and press Start."),
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(i.name, capfirst(i.model._meta.verbose_name_plural)) for i in registered()]
        importer = self.fields["importer"]
        importer.choices = choices
        if len(choices) == 1:  # Nothing to choose.
            importer.widget, importer.initial = forms.HiddenInput(), choices[0][0]

    def clean_file(self) -> UploadedFile:
        file = self.cleaned_data["file"]
        if file.size > settings.IMPORT_MAX_UPLOAD_BYTES:
            raise forms.ValidationError(too_large())
        return file


def too_large() -> str:
    most = filesizeformat(settings.IMPORT_MAX_UPLOAD_BYTES)
    return _("The file is larger than %(most)s. Split it into several files.") % {"most": most}
