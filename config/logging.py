"""Log lines that quote no customer."""

import logging
import traceback
from typing import Any


class Discreet(logging.Formatter):
    """Says of an exception what kind it is and where it happened, and not its text.

    A database error quotes the row it is about, phone number and all, and one that was
    raised while it was handled quotes it too.
    """

    def formatException(self, ei):
        kind, _, where = ei
        return "".join([*traceback.format_tb(where), kind.__name__])

    def formatStack(self, stack_info):
        return stack_info


def to_console(level: str) -> dict[str, Any]:
    """Django's LOGGING: everything from this level on, to where a platform collects it."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "plain": {
                "()": "config.logging.Discreet",
                "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"handlers": ["console"], "level": level},
    }
