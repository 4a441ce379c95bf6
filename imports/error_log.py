"""Log an exception without its text, which may quote a record or a cell of the file."""

from __future__ import annotations

import logging
from traceback import format_tb


def log_error(logger: logging.Logger, subject: str, error: BaseException, detail: str = "") -> None:
    """Log that `subject` raised the error: its class, `detail`, and where it was raised."""
    where = "".join(format_tb(error.__traceback__))
    name = f"{type(error).__name__} {detail}".rstrip()
    logger.error("%s raised %s\n%s", subject, name, where)
