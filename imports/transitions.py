"""How the status of an import changes: one compare-and-set statement.

No other code writes `ImportJob.status`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import models

from imports.statuses import (
    ENDED_STATUSES,
    FINAL_STATUSES,
    Hook,
    Status,
    get_source_statuses,
)

if TYPE_CHECKING:
    from imports.models import ImportJob

# The condition on the status and the change of the status are one statement. Of two processes
# that race for a transition, exactly one gets the row back.
# Calls of hooks that follow the change are inserted with it.
# An import whose file and rows were deleted keeps its status: it can be neither undone nor retried.
TRANSITION = """
WITH changed AS (UPDATE imports_importjob
   SET status = %(target)s, error_code = %(error_code)s, error_params = %(error_params)s::jsonb,
       version = version + 1, updated_at = now(),
       started_at = CASE WHEN %(is_work)s THEN coalesce(started_at, now()) ELSE started_at END,
       phase_started_at = now(),
       phase_rows = CASE %(target)s WHEN 'CHECKING' THEN checked
                                    WHEN 'UNDOING' THEN removed + restored + kept
                                    ELSE processed END,
       progress_percent = CASE WHEN %(is_whole)s THEN 100 ELSE progress_percent END,
       finished_at = CASE WHEN %(is_final)s THEN now() END
 WHERE id = %(pk)s AND status = ANY(%(sources)s) AND contents_deleted_at IS NULL
RETURNING *),
hook_calls AS (
    INSERT INTO imports_hookcall (job_id, hook)
    SELECT id, hook FROM changed, unnest(%(hooks)s::text[]) WITH ORDINALITY AS hook (hook, place)
     ORDER BY place)
SELECT * FROM changed
"""


class TransitionNotAllowed(Exception):
    """The import does not allow this command now; nothing has changed.

    `code` says why, for example "too_late", and `params` has the values of its sentence.
    """

    def __init__(self, message: str, code: str = "not_allowed", **params: Any) -> None:
        super().__init__(message)
        self.code = code
        self.params = params


class TransitionManager(models.Manager["ImportJob"]):
    """A manager of imports that changes their status."""

    def transition(
        self,
        pk: uuid.UUID,
        target: Status,
        *,
        only_from: Status | None = None,
        error_code: str | None = None,
        error_params: Mapping[str, Any] | None = None,
    ) -> ImportJob:
        """Change the status of an import to `target` and return the updated import.

        `only_from` restricts the statuses that may become `target` (see `imports.statuses`) to
        one of them. `error_code` and `error_params` replace what the import has.

        Raises:
            TransitionNotAllowed: The status of the import may not become `target`; nothing
                has changed.
            ImportJob.DoesNotExist: There is no such import.
        """
        rows = self.raw(
            TRANSITION,
            {
                "pk": pk,
                "target": target,
                "sources": [only_from] if only_from else get_source_statuses(target),
                "is_work": target in {Status.CHECKING, Status.RUNNING},
                "is_whole": target in {Status.COMPLETE, Status.UNDONE},
                "is_final": target in FINAL_STATUSES,
                "hooks": _list_hooks(target, only_from),
                "error_code": error_code,
                "error_params": None if error_params is None else json.dumps(dict(error_params)),
            },
        )
        if job := next(iter(rows), None):
            return job
        status, deleted_at = self.values_list("status", "contents_deleted_at").get(pk=pk)
        if deleted_at is not None:
            raise TransitionNotAllowed(
                "The file and the rows of this import were deleted.", "contents_deleted"
            )
        raise TransitionNotAllowed(f"An import that is {status} cannot become {target}.")


def _list_hooks(target: Status, source: Status | None) -> list[Hook]:
    """Return the hooks that are called after a change to this status, in their order.

    `source` is the earlier status, or None if it may be one of several.
    """
    if target == Status.UNDONE:
        return [Hook.IMPORT_UNDONE]
    if source == Status.UNDOING:  # The import had ended before.
        return []
    if target == Status.CHECKING:
        return [Hook.IMPORT_STARTED]
    return [Hook.AFTER_IMPORT, Hook.IMPORT_FINISHED] if target in ENDED_STATUSES else []
