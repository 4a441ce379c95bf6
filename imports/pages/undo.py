"""Template context of an undo: what it would do, and why records were kept."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from imports import lifecycle
from imports.error_messages import describe_kept
from imports.models import ImportJob, TransitionNotAllowed
from imports.pipeline.undo_preview import KeptReason, list_kept_reasons
from imports.retention import get_contents_deadline

Context = dict[str, object]


def build_undo_context(job: ImportJob) -> Context:
    """Return the preview of the undo, and until when the import can be undone.

    Raises:
        TransitionNotAllowed: The import cannot be undone.
    """
    preview = lifecycle.preview_undo(job)
    reasons = [_describe_reason(reason) for reason in preview["reasons"]]
    return {
        "job": job,
        "preview": {**preview, "reasons": reasons},
        "deadline": get_contents_deadline(job),
    }


def build_kept_context(job: ImportJob) -> Context:
    """Return why undo has kept records, the most frequent reason first."""
    return {"kept_reasons": [_describe_reason(reason) for reason in list_kept_reasons(job)]}


def describe_undo_conflict(error: TransitionNotAllowed) -> str:
    """Return why the import cannot be undone, in the user's language."""
    match error.code:
        case "nothing_to_undo":
            return _("This import has created and updated no record. There is nothing to undo.")
        case "too_late":
            return _("This import can no longer be undone, because its rows were deleted.")
        case _other:
            return _(
                "This action is no longer possible. The current status of the import is shown "
                "below."
            )


def _describe_reason(reason: KeptReason) -> dict[str, Any]:
    return {**reason, "message": describe_kept(reason)}
