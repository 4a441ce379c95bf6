"""What the earlier contract answers: an import in the words its clients know."""

from __future__ import annotations

from typing import Any

from imports import row_results
from imports.api.serializers import serialize_row_error
from imports.importer import get_importer
from imports.models import ImportJob, ImportRow
from imports.pipeline.failed_rows import FailedRows
from imports.snapshots import get_status_message, to_json_value
from imports.statuses import Outcome, Status

IMPORTER_NAME = "customers"
MOST_ERRORS = 100

S = Status
WORDS = {
    S.QUEUED: "QUEUED",
    **dict.fromkeys((S.CHECKING, S.READY, S.RUNNING, S.PAUSED, S.UNDOING), "RUNNING"),
    **dict.fromkeys((S.COMPLETE, S.UNDONE), "COMPLETE"),
    **dict.fromkeys((S.FAILED, S.CANCELLED, S.MAPPING), "FAILED"),
}
REPEATS = {"repeats_row"}
CLASHES = {"exists", "matches_several"}


def serialize_task(job: ImportJob) -> dict[str, Any]:
    word = WORDS[Status(job.status)]
    answer = {
        "task_id": str(job.pk),
        "status": word,
        "message": get_status_message(job),
        "total_customers": job.total,
        **{name: getattr(job, name) for name in ("created", "updated", "skipped", "failed")},
        "progress": job.progress_percent,
        "errors": first_errors(job),
        **{n: to_json_value(getattr(job, n)) for n in ("created_at", "started_at", "finished_at")},
    }
    return answer | {"error": get_status_message(job)} if word == "FAILED" else answer


def first_errors(job: ImportJob) -> list[dict[str, Any]]:
    rows = row_results.list_rows(job, outcome=Outcome.FAILED, most=MOST_ERRORS)
    return [error for row in rows for error in errors_of(row)][:MOST_ERRORS]


def errors_of(row: ImportRow) -> list[dict[str, Any]]:
    return [serialize_row_error(error, row, IMPORTER_NAME) for error in row.errors or []]


def serialize_check(job: ImportJob) -> dict[str, Any]:
    """What checking has found: who could be imported as they are, and who could not and why."""
    fields = [column.field for column in get_importer(IMPORTER_NAME).columns]
    found: dict[str, list] = {"valid_candidates": [], "refused": [], "repeats": [], "clashes": []}
    rows = ImportRow.objects.filter(job=job).only("number", "outcome", "errors", "cleaned")
    columns = FailedRows(job)
    for row in rows.order_by("number"):
        if row.outcome is None:
            found["valid_candidates"].append(dict(zip(fields, row.cleaned, strict=True)))
        else:
            found[kind_of(row)].append(refusal_of(row, columns))
    counts = {name: len(those) for name, those in found.items()}
    counts["valid"] = counts.pop("valid_candidates")
    return {"upload_id": str(job.pk), **found, "counts": {"total": job.total, **counts}}


def kind_of(row: ImportRow) -> str:
    codes = {error["code"] for error in row.errors or []}
    if codes & REPEATS:
        return "repeats"
    return "clashes" if codes & CLASHES or row.outcome == Outcome.SKIPPED else "refused"


def refusal_of(row: ImportRow, columns: FailedRows) -> dict[str, Any]:
    """Why, column by column, in the words of the report of refused rows."""
    errors = errors_of(row)
    named = ((columns.get_column_label(error["column"]), error["message"]) for error in errors)
    reason = " ".join(f"{name}: {sentence}" if name else sentence for name, sentence in named)
    return {"row": row.number, "reason": reason, "errors": errors}
