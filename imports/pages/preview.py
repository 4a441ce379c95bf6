"""What starting a checked import would do, with examples: new rows, and old values to new."""

from __future__ import annotations

from typing import Any

from imports import preview
from imports.importer import get_importer_or_placeholder
from imports.models import ImportJob, TransitionNotAllowed
from imports.pages.presenters import name_of
from imports.permissions import User

MOST_EXAMPLES = 5

Context = dict[str, Any]


def preview_shown(job: ImportJob, reader: User) -> Context:
    try:
        found = preview.build_preview(job, reader)
    except (
        TransitionNotAllowed
    ):  # Started or checked anew just now; the script asks for the page anew.
        return {}
    importer = get_importer_or_placeholder(job.importer)
    names = [name_of(importer, column.field) for column in importer.columns]
    return {
        "preview": found,
        "update_examples": [
            {
                "row": update["row"],
                "changes": [
                    {"name": name_of(importer, field), **change}
                    for field, change in update["changes"].items()
                ],
            }
            for update in found["updates"][:MOST_EXAMPLES]
        ],
        "create_names": names,
        "create_examples": [
            (create["row"], list(zip(names, create["values"].values(), strict=True)))
            for create in found["creates"][:MOST_EXAMPLES]
        ],
    }
