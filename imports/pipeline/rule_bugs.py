"""Report bugs in the rules of an importer: exceptions and results of a wrong type.

A bug in the rule of a cell or a row fails the row, not the import.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from imports.error_log import log_error
from imports.importer import Importer, InvalidValue

logger = logging.getLogger(__name__)


class WrongResult(Exception):
    """A function of an importer has returned what it must not return.

    The text has the parameters of the error, which name the function and quote no value.
    """

    def __init__(self, code: str, function: Callable[..., Any], **params: str) -> None:
        self.code = code
        self.params = {"rule": get_function_name(function), **params}
        super().__init__(", ".join(f"{name}: {value}" for name, value in self.params.items()))


class ColumnRuleFailed(Exception):
    """A function of a column has a bug that concerns the whole file, so the check ends.

    `params` name the column and either the class of the exception or the type of the result.
    """

    def __init__(self, code: str, field: str, error: Exception) -> None:
        super().__init__(code)
        self.code = code
        details = {"error": type(error).__name__}
        if isinstance(error, WrongResult):
            self.code, details = error.code, error.params
        self.params = {"columns": [field], **details}


class RuleBugs:
    """Logs the bugs of rules: the first of each rule and kind, and how many there were.

    The records name the import, the rule and the row, and quote no value.
    """

    def __init__(self, importer: type[Importer], import_id: UUID | None = None) -> None:
        self._importer = importer
        self._subject = "a check" if import_id is None else f"import {import_id}"
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, rule: str, row: int, error: Exception) -> None:
        """Count a bug of a rule, and log where it was raised if it is the first one."""
        bug = (rule, type(error).__name__)
        self._counts[bug] += 1
        if self._counts[bug] == 1:
            subject = f"Importer {self._importer.name}: {rule}, row {row} of {self._subject},"
            log_bug(subject, error)

    def log_counts(self) -> None:
        """Log how often each rule has raised an exception, if that was more than once."""
        for (rule, name), count in self._counts.items():
            if count > 1:
                text = "Importer %s: %s raised %s in %s rows of %s"
                logger.error(text, self._importer.name, rule, name, count, self._subject)


def log_bug(subject: str, error: Exception) -> None:
    """Log that code of an importer has a bug. `subject` says which code, and for which import."""
    log_error(logger, subject, error, str(error) if isinstance(error, WrongResult) else "")


def make_wrong_type(code: str, function: Callable[..., Any], result: object) -> WrongResult:
    """Return the exception for a result of a wrong type."""
    return WrongResult(code, function, returned=type(result).__name__)


def make_bug_error(code: str, bug: Exception) -> InvalidValue:
    """Return the error of a row for a bug in a rule; `code` is that of an exception."""
    if isinstance(bug, WrongResult):
        return InvalidValue(bug.code, **bug.params)
    return InvalidValue(code, error=type(bug).__name__)


def get_function_name(function: Callable[..., Any]) -> str:
    """Return the module and the name of a function, as "customers.rules.clean_phone"."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
