"""The options of an upload, which the upload form of its importer defines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet
from django.utils.choices import flatten_choices
from django.utils.formats import localize
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from imports.cell_values import UNSTORABLE_CHARACTERS
from imports.error_log import log_error
from imports.importer import Importer, get_importer_or_placeholder
from imports.postgres import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from imports.models import ImportJob

log = logging.getLogger(__name__)

Options = dict[str, Any]  # Values of types of JSON.
EMPTY: tuple[object, ...] = (None, "", [])  # The values of options that are not shown.


class InvalidOptions(ValueError):
    """The upload form of the importer does not accept the options of an upload.

    `errors` are the errors by option. The key of errors that are about no single option is
    `NON_FIELD_ERRORS`. The text names all of them.
    """

    def __init__(self, errors: Mapping[str, Iterable[ValidationError]]) -> None:
        self.errors = {name: list(problems) for name, problems in errors.items()}
        sentences = [
            f"{name}: {message}"
            for name, problems in self.errors.items()
            for problem in problems
            for message in problem.messages
        ]
        super().__init__(" ".join(sentences))


class UploadFormFailed(Exception):
    """The code of an importer's upload form has raised an exception, which is logged.

    The text says so in a complete sentence, and `error` is the class name of the exception.
    """

    def __init__(self, importer: type[Importer], error: Exception) -> None:
        self.error = type(error).__name__
        super().__init__(
            _(
                "The options of this importer cannot be used because of an error in its upload "
                "form (%(error)s). Tell an administrator."
            )
            % {"error": self.error}
        )
        log_error(log, f"Importer {importer.name}: the upload form", error)


@contextmanager
def running_upload_form(importer: type[Importer]) -> Iterator[None]:
    """Run code of an importer's upload form.

    Raises:
        UploadFormFailed: The code has raised an exception.
        OperationalError, InterfaceError: The database is not available.
    """
    try:
        yield
    except (InvalidOptions, *UNAVAILABLE_ERRORS):
        raise
    except Exception as error:
        raise UploadFormFailed(importer, error) from None


def clean_options(
    importer: type[Importer], user: AbstractBaseUser | None, options: Mapping[str, Any]
) -> Options:
    """Validate the options of an upload, and return what is stored with the import.

    The values of `options` are what a form field accepts: text, numbers, records, lists.

    Raises:
        InvalidOptions: An option is unknown, missing or has a wrong value.
        UploadFormFailed: The upload form has a bug.
    """
    with running_upload_form(importer):
        return _clean_options(importer, user, options)


def _clean_options(
    importer: type[Importer], user: AbstractBaseUser | None, options: Mapping[str, Any]
) -> Options:
    form = importer.make_upload_form(user, data=dict(options))
    if form is None:
        form = forms.Form(data=dict(options))
    if unknown := [name for name in options if not _is_known(form, name)]:
        raise InvalidOptions({name: [_make_unknown_error(form)] for name in unknown})
    for name, field in form.fields.items():
        takes_list = getattr(field.widget, "allow_multiple_selected", False)
        if takes_list and name in options and not isinstance(options[name], list | tuple):
            form.data[name] = [options[name]]  # type: ignore[index]  # The dictionary from above.
    if not form.is_valid():
        raise InvalidOptions(form.errors.as_data())
    return _make_storable_options(form)


def _make_storable_options(form: forms.Form) -> Options:
    """Return the cleaned values of a valid form in types of JSON.

    Raises:
        InvalidOptions: A text has a character that cannot be stored.
    """
    values = {
        name: _replace_records(form.fields.get(name), value)
        for name, value in form.cleaned_data.items()
    }
    stored: Options = json.loads(json.dumps(values, cls=DjangoJSONEncoder))
    if names := [name for name, value in stored.items() if _has_unstorable_text(value)]:
        text = _("This value contains a character that cannot be stored. Type the value again.")
        raise InvalidOptions(
            {name: [ValidationError(text, "forbidden_character")] for name in names}
        )
    return stored


def _is_known(form: forms.Form, name: str) -> bool:
    """Return whether the form reads the name. A widget of several parts adds "_0" and so on."""
    return any(name == known or name.startswith(f"{known}_") for known in form.fields)


def _make_unknown_error(form: forms.Form) -> ValidationError:
    if not form.fields:
        return ValidationError(
            _("There is no such option. This importer has none."), "unknown_field"
        )
    text = _("There is no such option. The options are: %(options)s.")
    return ValidationError(text % {"options": ", ".join(form.fields)}, "unknown_field")


def _replace_records(field: forms.Field | None, value: Any) -> Any:
    """Return the value with keys in place of records: as the form field names them."""
    if isinstance(value, Model):
        return field.prepare_value(value) if field else value.pk
    if isinstance(value, QuerySet | list | tuple | set):
        return [_replace_records(field, item) for item in value]
    return value


def _has_unstorable_text(value: Any) -> bool:
    if isinstance(value, dict):
        return _has_unstorable_text([*value, *value.values()])
    if isinstance(value, list):
        return any(map(_has_unstorable_text, value))
    return isinstance(value, str) and bool(UNSTORABLE_CHARACTERS.search(value))


# --- Shown -------------------------------------------------------------------


def describe_options(job: ImportJob) -> list[tuple[str, str]]:
    """Return the label and the value of each option of an import, in the active language.

    An option that the form no longer has keeps its name and its stored value.
    """
    if not job.importer_options:
        return []
    importer = get_importer_or_placeholder(job.importer)
    shown = {name: value for name, value in job.importer_options.items() if value not in EMPTY}
    try:
        with running_upload_form(importer):
            form = importer.make_upload_form(job.owner)
            fields = form.fields if form else {}
            return [
                (_get_label(fields.get(name), name), _describe_value(fields.get(name), value))
                for name, value in shown.items()
            ]
    except UploadFormFailed:  # It is logged. The page shows the options as they are stored.
        return [(_get_label(None, name), _describe_value(None, shown[name])) for name in shown]


def _get_label(field: forms.Field | None, name: str) -> str:
    return str(field.label) if field and field.label else capfirst(name.replace("_", " "))


def _describe_value(field: forms.Field | None, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_describe_value(field, item) for item in value)
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(field, forms.ModelChoiceField):
        key = field.to_field_name or "pk"
        records = field.queryset
        record = None if records is None else records.filter(**{key: value}).first()
        return str(value) if record is None else field.label_from_instance(record)
    if isinstance(field, forms.ChoiceField | forms.MultipleChoiceField):
        choices: Iterable[tuple[Any, Any]] = flatten_choices(cast("Iterable[Any]", field.choices))
        labels = {str(key): label for key, label in choices}
        return str(labels.get(str(value), value))
    try:
        return str(localize(field.to_python(value) if field else value))
    except (ValidationError, TypeError, ValueError):
        return str(value)
