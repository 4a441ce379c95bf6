"""Template context of the preview: examples of the records that an import would write."""

from __future__ import annotations

from imports import preview
from imports.error_messages import get_field_label
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob, TransitionNotAllowed
from imports.permissions import User

MAX_EXAMPLES = 5

Context = dict[str, object]


def build_preview_context(job: ImportJob, user: User) -> Context:
    """Return the preview; an empty context if the import is no longer waiting to be started."""
    try:
        result = preview.build_preview(job, user)
    except TransitionNotAllowed:  # It was started or checked again; the script reloads the page.
        return {}
    importer = get_importer_or_placeholder(job.importer)
    names = [get_field_label(importer, column.field) for column in importer.columns]
    return {
        "preview": result,
        "update_examples": [
            {
                "row": update["row"],
                "changes": [
                    {"name": get_field_label(importer, field), **change}
                    for field, change in update["changes"].items()
                ],
            }
            for update in result["updates"][:MAX_EXAMPLES]
        ],
        "create_names": names,
        "create_examples": [
            (create["row"], list(zip(names, create["values"].values(), strict=True)))
            for create in result["creates"][:MAX_EXAMPLES]
        ],
    }
