"""Template context of an undo: what it would do, and why records were kept."""

from __future__ import annotations

from typing import Any

from imports import lifecycle
from imports.error_messages import describe_kept
from imports.models import ImportJob
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


def _describe_reason(reason: KeptReason) -> dict[str, Any]:
    return {**reason, "message": describe_kept(reason)}
