"""Answers as they are sent, for the description. A test holds them against the schema."""

from __future__ import annotations

from typing import Any

IMPORT = "8a6e5f43-2f0c-4a7e-9d9c-0b1f6f3f6c11"
OWN = f"/api/imports/{IMPORT}/"

SNAPSHOT: dict[str, Any] = {
    "id": IMPORT,
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
    "created_at": "2026-11-02T09:15:00.120000+00:00",
    "started_at": "2026-11-02T09:15:00.410000+00:00",
    "finished_at": None,
    "updated_at": "2026-11-02T09:15:01.020000+00:00",
    "live": {
        "queue_position": None,
        "workers": 1,
        "stalled": False,
        "rows_per_second": 9100,
        "eta_seconds": 1,
    },
}
ASKED_FOR = {
    "importer": "customers",
    "on_duplicate": "skip",
    "check_first": False,
    "file_name": "customers.xlsx",
    "file_size": 412160,
    "owner": "ama",
    "poll_after_seconds": 1,
    "urls": {
        "self": OWN,
        **{name: f"{OWN}{name}/" for name in ("events", "rows", "problems", "start", "cancel")},
        "stream": f"{OWN}events/?ticket=WyI4YTZlNWY0My0yZjBj…",
        "websocket": f"/ws/imports/{IMPORT}/",
    },
}
RUNNING = SNAPSHOT | ASKED_FOR | {"same_file_as": None}
NOTHING_YET = ("checked", "processed", "progress_percent", "created", "skipped", "failed")
WAITING = (
    RUNNING
    | dict.fromkeys(NOTHING_YET, 0)
    | dict.fromkeys(("total", "started_at"))
    | {
        "version": 1,
        "status": "QUEUED",
        "message": "Waiting for a worker",
        "updated_at": SNAPSHOT["created_at"],
        "poll_after_seconds": 2,
        "live": SNAPSHOT["live"]
        | {"queue_position": 1}
        | dict.fromkeys(("rows_per_second", "eta_seconds")),
    }
)
LISTED = {name: value for name, value in RUNNING.items() if name != "same_file_as"}
ROW_ERROR = {
    "row": 17,
    "column": "phone",
    "code": "invalid_phone",
    "params": {},
    "value": "12",
    "message": "This is not a phone number. Write it with its country code, as +233241234567.",
}
ROWS = {
    "next": f"http://localhost:8000{OWN}rows/?outcome=failed&after=17&limit=1",
    "results": [{"row": 17, "outcome": "failed", "record": None, "errors": [ROW_ERROR]}],
}
PROBLEMS = {
    "complete": True,
    "results": [
        {
            "outcome": "failed",
            "column": "phone",
            "code": "invalid_phone",
            "count": 28,
            "rows": [17, 203, 204, 911, 1002],
            "example": ROW_ERROR,
        }
    ],
}
TOKENS = {"access": "eyJhbGciOiJIUzI1NiIsInR5cCI6…", "refresh": "eyJhbGciOiJIUzI1NiIsInR5cCI6…"}


def event(name: str, snapshot: dict[str, Any] | None = None) -> str:
    """One event, its snapshot cut short."""
    shown = snapshot or SNAPSHOT
    short = f'{{"id": "{shown["id"]}", "version": {shown["version"]}, …}}'
    return f"id: {shown['version']}\nevent: {name}\ndata: {short}\n\n"
