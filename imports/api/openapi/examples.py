"""Examples of real responses. Tests validate each one against the description."""

from __future__ import annotations

from typing import Any

from imports.api.serializers import URL_ACTIONS

IMPORT_ID = "8a6e5f43-2f0c-4a7e-9d9c-0b1f6f3f6c11"
IMPORT_URL = f"/api/imports/{IMPORT_ID}/"

SNAPSHOT: dict[str, Any] = {
    "id": IMPORT_ID,
    "version": 41,
    "run": 1,
    "status": "RUNNING",
    "error_code": None,
    "message": "Importing",
    "total": 7000,
    "checked": 7000,
    "processed": 4200,
    "progress_percent": 73,
    "created": 4150,
    "updated": 0,
    "unchanged": 0,
    "skipped": 20,
    "failed": 30,
    "removed": 0,
    "restored": 0,
    "kept": 0,
    "success": None,
    "waits_for": None,
    "created_at": "2026-11-02T09:15:00.120000Z",
    "started_at": "2026-11-02T09:15:00.410000Z",
    "finished_at": None,
    "updated_at": "2026-11-02T09:15:01.020000Z",
    "live": {
        "queue_position": None,
        "workers": 1,
        "stalled": False,
        "stalled_reason": None,
        "rows_per_second": 9100,
        "eta_seconds": 1,
    },
}
COLUMNS = {
    "header_row": 1,
    "headers": ["Mark", "First name", "Surname", "Mobile"],
    "samples": [["GH 204"], ["Ama"], ["Mensah"], ["+233241234567"]],
    "missing": [],
    "from_saved_mapping": False,
    "fields": [
        {"field": field, "required": required, "index": index, "suggested": None}
        for field, required, index in (
            ("shipping_mark", True, 0),
            ("first_name", True, 1),
            ("last_name", True, 2),
            ("email", False, None),
            ("phone", True, 3),
        )
    ],
}
DETECTED_FORMAT = {
    "format": "xlsx",
    "sheet": "Customers",
    "encoding": None,
    "delimiter": None,
    "sheets": ["Customers", "Notes"],
    "second_encoding": None,
    "hidden_columns": [],
    "second_reader": False,
}
READ_SUMMARY = [
    {
        "code": "repeated_header",
        "params": {"count": 1, "rows": [57]},
        "message": "These rows repeat the headers and were not imported.",
    },
    {
        "code": "columns_ignored",
        "params": {"count": 2, "columns": ["Remarks", "Balance"]},
        "message": "These columns do not match any field and were ignored: Remarks, Balance.",
    },
]
IMPORT_FIELDS: dict[str, Any] = {
    "importer": "customers",
    "on_duplicate": "skip",
    "empty_cells": "keep",
    "check_first": False,
    "options": {},
    "on_missing_columns": "ask",
    "read_options": {"sheet": "Customers"},
    "has_header_row": None,
    "file_name": "customers.xlsx",
    "file_size": 412160,
    "owner": "ama",
    "contents_kept_until": None,
    "contents_deleted_at": None,
    "poll_after_seconds": 1,
    "actions": ["pause", "cancel"],
    "urls": {
        "self": IMPORT_URL,
        **{name: f"{IMPORT_URL}{address}/" for name, address in URL_ACTIONS.items()},
        "failed_rows_xlsx": f"{IMPORT_URL}failed-rows.xlsx",
        "failed_rows_csv": f"{IMPORT_URL}failed-rows.csv",
        "kept_rows_xlsx": None,
        "kept_rows_csv": None,
        "stream": f"{IMPORT_URL}events/?ticket=WyI4YTZlNWY0My0yZjBj…",
        "websocket": f"/ws/imports/{IMPORT_ID}/",
    },
}
LIST_ITEM = SNAPSHOT | IMPORT_FIELDS
RUNNING_IMPORT = LIST_ITEM | {
    "same_file_as": None,
    "detected_format": DETECTED_FORMAT,
    "columns": COLUMNS,
    "read_summary": READ_SUMMARY,
    "error_params": None,
}
PROGRESS_FIELDS = ("checked", "processed", "progress_percent", "created", "skipped", "failed")
QUEUED_IMPORT = (
    RUNNING_IMPORT
    | dict.fromkeys(PROGRESS_FIELDS, 0)
    | dict.fromkeys(("total", "started_at", "detected_format", "columns"))
    | {
        "version": 1,
        "read_summary": [],
        "status": "QUEUED",
        "message": "Waiting for a worker",
        "updated_at": SNAPSHOT["created_at"],
        "poll_after_seconds": 2,
        "actions": ["cancel"],
        "urls": IMPORT_FIELDS["urls"] | dict.fromkeys(("failed_rows_xlsx", "failed_rows_csv")),
        "live": SNAPSHOT["live"]
        | {"queue_position": 1}
        | dict.fromkeys(("rows_per_second", "eta_seconds")),
    }
)
DELETED_IMPORT = RUNNING_IMPORT | {
    "version": 57,
    "status": "CANCELLED",
    "message": "Cancelled",
    "success": "some",
    "finished_at": "2026-11-02T09:15:02.310000Z",
    "updated_at": "2026-11-02T09:15:02.310000Z",
    "contents_deleted_at": "2026-11-02T09:15:02.310000Z",
    "poll_after_seconds": None,
    "columns": COLUMNS | {"samples": [[], [], [], []]},
    "detected_format": DETECTED_FORMAT | {"sheet": None, "sheets": []},
    "read_options": {},
    "live": SNAPSHOT["live"] | dict.fromkeys(("rows_per_second", "eta_seconds")),
}
ROW_ERROR = {
    "row": 17,
    "field": "phone",
    "code": "invalid_phone",
    "params": {},
    "value": "12",
    "message": "This is not a phone number. Write it with its country code, as +233241234567.",
}
UNDOING_IMPORT = RUNNING_IMPORT | {
    "status": "UNDOING",
    "message": "Undoing",
    "run": 2,
    "processed": 7000,
    "progress_percent": 0,
    "created": 6860,
    "updated": 41,
    "skipped": 69,
}
UNDO_PREVIEW = {
    "removed": 6853,
    "restored": 41,
    "kept": 7,
    "reasons": [
        {
            "code": "edited",
            "params": {},
            "message": "The record was edited after the import.",
            "count": 7,
        }
    ],
    "is_exact": True,
}
ROW = {"row": 17, "outcome": "failed", "record": None, "errors": [ROW_ERROR], "kept": None}
PROBLEM = {
    "outcome": "failed",
    "field": "phone",
    "code": "invalid_phone",
    "count": 28,
    "is_count_exact": True,
    "rows": [17, 203, 204, 911, 1002],
    "example": ROW_ERROR,
}
EVENT = {
    "at": "2026-11-02T09:15:00.820000Z",
    "command": "pause",
    "label": "Paused the import",
    "user": "ama",
    "via": "rest",
    "details": {},
}
PREVIEW = {
    "checked_at": SNAPSHOT["started_at"],
    "total": 3,
    "created": 1,
    "updated": 1,
    "unchanged": 0,
    "skipped": 0,
    "failed": 1,
    "read_summary": READ_SUMMARY,
    "updates": [
        {"row": 2, "record": "57", "changes": {"first_name": {"old": "Amma", "new": "Ama"}}}
    ],
    "creates": [
        {
            "row": 3,
            "values": {
                "shipping_mark": "GH 205",
                "first_name": "Kofi",
                "last_name": "Owusu",
                "email": None,
                "phone": "+233241234568",
            },
        }
    ],
}
MAPPING = {"column_mapping": {"shipping_mark": "Mark", "phone": 3, "email": None}}
TOKENS = {"access": "eyJhbGciOiJIUzI1NiIsInR5cCI6…", "refresh": "eyJhbGciOiJIUzI1NiIsInR5cCI6…"}


def format_event_example(name: str) -> str:
    """Return the first server-sent event of a stream, with this name and an abridged snapshot."""
    data = f'{{"id": "{SNAPSHOT["id"]}", "version": {SNAPSHOT["version"]}, …}}'
    return f"retry: 3000\nid: {SNAPSHOT['version']}\nevent: {name}\ndata: {data}\n\n"
