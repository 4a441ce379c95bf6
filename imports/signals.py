"""The signals of the app. Connect to them as to other signals of Django::

    @receiver(import_finished)
    def notify_owner(sender, job, **kwargs): ...

`sender` is the class ImportJob, and `job` the import as it is when the signal is sent. A worker
sends each signal after the commit, at least once. An exception of a receiver is logged; the other
receivers are called, and the import continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

from imports.error_log import log_error

log = logging.getLogger(__name__)


class ImportSignal(Signal):
    """A signal whose failed receivers are logged without the text of the exception.

    The text may quote a record.
    """

    def _log_robust_failure(self, receiver: Callable[..., Any], err: Exception) -> None:
        name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
        log_error(log, f"receiver {name}", err)


# A worker has begun to check the file. Sent each time that a check begins: also when the file is
# checked again, and when a small file must be read by the main reader.
import_started = ImportSignal()
# The import is COMPLETE, CANCELLED or FAILED, see `job.status`. The signal does not wait for the
# hooks of the importer.
import_finished = ImportSignal()
# The import is UNDONE: `job.removed`, `job.restored` and `job.kept` say what became of its records.
import_undone = ImportSignal()
