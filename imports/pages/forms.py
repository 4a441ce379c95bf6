"""The forms that upload files and filter the list of imports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from imports.conf import app_settings
from imports.importer import Importer, get_importer
from imports.models import ImportJob
from imports.permissions import User, list_permitted_importers, list_policies
from imports.statuses import EmptyCells, OnDuplicate, Status
from imports.upload_options import (
    InvalidOptions,
    UploadFormFailed,
    clean_options,
    running_upload_form,
)

# An import of which every row failed is in the group "failed", not in "complete".
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


class PolicySelect(forms.RadioSelect):
    """Radio buttons of the duplicate policies. Each says for which importers it is allowed.

    Scripts disable those that the selected importer does not allow. Without them, the server
    refuses such a choice.
    """

    # The names of the importers by policy.
    importers: dict[str, list[str]] = {}  # Replaced for each form.

    def create_option(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(*args, **kwargs)
        names = self.importers.get(str(option["value"]), [])
        option["attrs"]["data-importers"] = " ".join(names)
        return option


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
        widget=PolicySelect,
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

    def __init__(self, *args: Any, user: AbstractUser, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        importers = list_permitted_importers(user)
        choices = [(i.name, capfirst(i.model._meta.verbose_name_plural)) for i in importers]
        importer = self.fields["importer"]
        assert isinstance(importer, forms.ChoiceField)
        importer.choices = choices
        if len(choices) == 1:
            importer.widget, importer.initial = forms.HiddenInput(), choices[0][0]
        self._limit_policies(importers)
        selected = self["importer"].value()
        self.option_forms = {
            importer.name: form
            for importer in importers
            if (
                form := make_option_form(
                    importer,
                    user,
                    data=self.data if self.is_bound and importer.name == selected else None,
                    initial=self.initial.get("options") if importer.name == selected else None,
                )
            )
        }

    def render_option_forms(self) -> list[SafeString]:
        """Return the HTML of the form of each importer that has one."""
        has_several = len(list_permitted_importers(self.user)) > 1
        return [
            render_option_form(form, get_importer(name), has_legend=has_several)
            for name, form in self.option_forms.items()
        ]

    def _limit_policies(self, importers: Sequence[type[Importer]]) -> None:
        """Offer the policies that any of these importers allows the user."""
        names: dict[str, list[str]] = {}
        for importer in importers:
            for policy in list_policies(self.user, importer):
                names.setdefault(policy.value, []).append(importer.name)
        field = self.fields["on_duplicate"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [choice for choice in OnDuplicate.choices if choice[0] in names]
        assert isinstance(field.widget, PolicySelect)
        field.widget.importers = names
        if names and field.initial not in names:
            field.initial = field.choices[0][0]

    @property
    def media(self) -> forms.Media:
        """The media of the form and of the forms of the importers."""
        return sum((form.media for form in self.option_forms.values()), super().media)

    def clean(self) -> dict[str, Any]:
        """Add `options`, as `lifecycle.upload` takes them."""
        name = self.cleaned_data.get("importer", "")
        self.cleaned_data["options"] = {}
        if form := self.option_forms.get(name):
            if not validate_option_form(form, get_importer(name), self.user):
                raise forms.ValidationError(_("Correct the options that are marked."))
            self.cleaned_data["options"] = read_submitted_options(form)
        return self.cleaned_data


def make_option_form(
    importer: type[Importer], user: AbstractBaseUser, **arguments: Any
) -> forms.Form | None:
    """Return the importer's upload form with names of its own; None if the importer has none.

    `arguments` are `data` and `initial`. If the importer's code raises an exception, the form is a
    `FailedOptionForm`.
    """
    try:
        with running_upload_form(importer):
            # The browser checks nothing: without scripts, it would demand the options of every
            # importer.
            return importer.make_upload_form(
                user,
                prefix=importer.name,
                use_required_attribute=False,
                label_suffix="",
                **arguments,
            )
    except UploadFormFailed as failure:
        return FailedOptionForm(importer, failure)


class FailedOptionForm(forms.Form):
    """Says that the upload form of an importer has a bug. It has no fields, and is never valid."""

    def __init__(self, importer: type[Importer], failure: UploadFormFailed) -> None:
        super().__init__(data=QueryDict(), prefix=importer.name)
        self.failure = failure

    def clean(self) -> None:
        raise forms.ValidationError(str(self.failure))


def render_option_form(
    form: forms.Form, importer: type[Importer], *, has_legend: bool
) -> SafeString:
    """Return the HTML of an option form; that of a `FailedOptionForm` if its code has a bug.

    The legend names the importer.
    """
    template = "imports/upload_options.html"
    context = {"option_form": form, "has_legend": has_legend}
    try:
        with running_upload_form(importer):
            return render_to_string(template, context)
    except UploadFormFailed as failure:
        return render_to_string(
            template, context | {"option_form": FailedOptionForm(importer, failure)}
        )


def validate_option_form(
    form: forms.Form, importer: type[Importer], user: AbstractBaseUser
) -> bool:
    """Return whether an upload with the submitted options is accepted. The form has the errors."""
    try:
        with running_upload_form(importer):
            if not form.is_valid():
                return False
            clean_options(importer, user, read_submitted_options(form))
    except UploadFormFailed as failure:
        form.add_error(None, str(failure))
        return False
    except InvalidOptions as error:
        for name, problems in error.errors.items():
            form.add_error(name if name in form.fields else None, problems)
        return False
    return True


def read_submitted_options(form: forms.Form) -> dict[str, Any]:
    """Return the submitted values of an option form, by name without the form's prefix."""
    assert isinstance(form.data, QueryDict)
    prefix = f"{form.prefix}-"
    return {
        name.removeprefix(prefix): values[0] if len(values) == 1 else values
        for name, values in form.data.lists()
        if name.startswith(prefix)
    }


def get_upload_options(job: ImportJob) -> dict[str, object]:
    """Return the options of an import, as initial values for the upload of its corrected file."""
    names = ("importer", "on_duplicate", "empty_cells", "check_first")
    return {"options": job.importer_options} | {name: getattr(job, name) for name in names}


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
            jobs = _filter_by_status(jobs, group)
        return jobs.filter(owner=user.pk) if filters.get("owner") else jobs


def _filter_by_status(jobs: QuerySet[ImportJob], group: str) -> QuerySet[ImportJob]:
    """Return the imports of a group of STATUS_GROUPS."""
    # As `ImportJob.has_only_failed_rows`.
    only_failed = Q(status=Status.COMPLETE, created=0, updated=0, unchanged=0, skipped=0)
    in_group = Q(status__in=STATUS_GROUPS[group])
    if group == "complete":
        return jobs.filter(in_group & ~only_failed)
    return jobs.filter(in_group | only_failed) if group == "failed" else jobs.filter(in_group)
