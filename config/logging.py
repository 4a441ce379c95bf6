"""Logging to the console, without personal data of customers."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType


class RedactingFormatter(logging.Formatter):
    """Format an exception as its traceback and its class name, without its message.

    The message of a database error quotes the row, phone number included. A chained exception may
    quote the row as well, so chained exceptions are omitted.
    """

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        kind, _, where = ei
        name = kind.__name__ if kind else "None"
        return "".join([*traceback.format_tb(where), name])

    def formatStack(self, stack_info: str) -> str:
        return stack_info


def build_logging_config(level: str) -> dict[str, object]:
    """Return Django's LOGGING setting: write records of `level` and above to standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "plain": {
                "()": "config.logging.RedactingFormatter",
                "format": "%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s",
            }
        },
        "filters": {"request_id": {"()": "imports.request_ids.RequestIDFilter"}},
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": "plain",
                "filters": ["request_id"],
            }
        },
        "root": {"handlers": ["console"], "level": level},
    }
