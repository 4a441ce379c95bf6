"""The choices of a model field: which of them a cell names, and how users read them.

A cell names a choice by its value or by its label, in any language of the site. Repeated spaces are
ignored. Case is ignored unless two choices differ by nothing else.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db.models import Field
from django.utils.choices import CallableChoiceIterator
from django.utils.functional import Promise
from django.utils.translation import get_language, override

from imports.error_log import log_error
from imports.postgres import UNAVAILABLE_ERRORS

logger = logging.getLogger(__name__)

MAX_LISTED_CHOICES = 20  # In one message.
MAX_CACHED_FIELDS = 256

# The values and labels of choices that a function returns, which may differ at each call. None for
# choices that do not change.
Version = tuple[tuple[Any, str], ...] | None


@dataclass(frozen=True)
class ChoiceIndex:
    """The choices of one field by the texts that name them.

    `exact` has the texts as they are written, `folded` the same texts without case. A text that
    names several choices has several values.
    """

    exact: dict[str, tuple[Any, ...]]
    folded: dict[str, tuple[Any, ...]]
    values: frozenset[Any]

    def find(self, text: str) -> tuple[Any, ...]:
        """Return the values of the choices that the text names; empty if it names none."""
        return self.exact.get(_collapse_spaces(text)) or self.folded.get(fold_choice(text), ())


def get_choice_index(field: Field[Any, Any]) -> ChoiceIndex:
    """Return the index of the choices that the field has now."""
    return _build_index(field, _get_version(field))


def list_choice_names(field: Field[Any, Any]) -> list[str]:
    """Return the text that names each choice: its label in the active language.

    If the label names another choice as well, the text is the value. The choice of an empty value
    has no name, because an empty cell means it.
    """
    return list(_list_names(field, _get_version(field), get_language()))


def list_choices(field: Field[Any, Any]) -> list[tuple[Any, str]]:
    """Return the values and the labels of the choices, in the active language.

    The list is empty if the field has no choices, or if the function of an app that lists them
    raises an exception. The exception is logged.
    """
    if field.choices:
        with _logging_errors(field):
            return [(value, str(label)) for value, label in field.flatchoices]
    return []


def describe_choices(field: Field[Any, Any]) -> str:
    """Return the names of the first choices, separated by commas, in the active language.

    The text is empty in the cases in which `list_choices` returns an empty list.
    """
    names: list[str] = []
    if field.choices:
        with _logging_errors(field):
            names = list_choice_names(field)
    more = ["…"] if len(names) > MAX_LISTED_CHOICES else []
    return ", ".join([*names[:MAX_LISTED_CHOICES], *more])


@contextmanager
def _logging_errors(field: Field[Any, Any]) -> Iterator[None]:
    """Log an exception of the function of an app that lists the choices, and go on.

    Raises:
        OperationalError, InterfaceError: The database is not available.
    """
    try:
        yield
    except UNAVAILABLE_ERRORS:
        raise
    except Exception as error:
        log_error(logger, f"The choices of the field {field}", error)


def describe_values(field: Field[Any, Any], values: Iterable[Any]) -> str:
    """Return the labels of the choices with these values, each with its value.

    The labels are in the active language. A value that is no choice any more stands for itself.
    """
    labels = {str(value): label for value, label in field.flatchoices}
    names = (str(value) for value in values)
    return ", ".join(f"{labels[name]} ({name})" if name in labels else name for name in names)


def find_ambiguous_labels(field: Field[Any, Any]) -> list[str]:
    """Return the labels that name more than one choice, in the active language."""
    index = get_choice_index(field)
    labels = dict.fromkeys(str(label) for _, label in field.flatchoices)
    return [label for label in labels if len(index.find(label)) > 1]


def fold_choice(text: str) -> str:
    """Return the text without case, with single spaces and with each accent in one form."""
    return unicodedata.normalize("NFC", _collapse_spaces(text)).casefold()


def _collapse_spaces(text: str) -> str:
    return " ".join(text.split())


def _get_version(field: Field[Any, Any]) -> Version:
    choices: object = field.choices  # The stubs of Django do not know this type.
    if not isinstance(choices, CallableChoiceIterator):
        return None
    return tuple((value, str(label)) for value, label in field.flatchoices)


@lru_cache(MAX_CACHED_FIELDS)
def _build_index(field: Field[Any, Any], version: Version) -> ChoiceIndex:
    exact: dict[str, dict[Any, None]] = {}
    folded: dict[str, dict[Any, None]] = {}
    choices = list(field.flatchoices)
    languages = dict.fromkeys([settings.LANGUAGE_CODE, *dict(settings.LANGUAGES)])
    if not any(isinstance(label, Promise) for _, label in choices):
        languages = dict.fromkeys([settings.LANGUAGE_CODE])  # All labels are plain text.
    for language in languages:
        with override(language):
            for value, label in choices:
                texts = {str(label)} if value in (None, "") else {str(value), str(label)}
                for text in texts:
                    exact.setdefault(_collapse_spaces(text), {})[value] = None
                    folded.setdefault(fold_choice(text), {})[value] = None
    return ChoiceIndex(
        exact={text: tuple(values) for text, values in exact.items()},
        folded={text: tuple(values) for text, values in folded.items()},
        values=frozenset(value for value, _ in choices),
    )


@lru_cache(MAX_CACHED_FIELDS)
def _list_names(field: Field[Any, Any], version: Version, language: str | None) -> tuple[str, ...]:
    """Return the names of the choices; `language` is the active one."""
    index = _build_index(field, version)
    return tuple(
        str(label) if len(index.find(str(label))) == 1 else str(value)
        for value, label in field.flatchoices
        if value not in (None, "")
    )
