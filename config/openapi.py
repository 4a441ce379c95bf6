"""What the description of the API says of the API as a whole."""

DESCRIPTION = """
Customers in spreadsheets become rows of the database; every import is a job to follow.

1. **Log in**: `POST /api/auth/token/` with a name and a password. Send `access` with each call as
   `Authorization: Bearer …`. A session's cookie works too; then what changes something needs the
   header `X-CSRFToken`.
2. **Upload**: `POST /api/imports/` with the file. The answer is 202 and the import, at once; the
   work is done behind it. With an `Idempotency-Key` you may ask again as often as you like.
3. **Follow**: `GET /api/imports/{id}/` after `poll_after_seconds`, until that is null. Or stream:
   `GET /api/imports/{id}/events/` sends the same fields as server-sent events, and the WebSocket
   at `urls.websocket` (`/ws/imports/{id}/`) as messages. Every one is whole: drop older ones by
   `version`. A socket closes with 1000 at the end, 4000 when you should connect again, and 4401,
   4404, 4429 or 4503 where HTTP would say 401, 404, 429 or 503.
4. **Read what was refused**: `GET /api/imports/{id}/problems/` by cause,
   `GET /api/imports/{id}/rows/?outcome=failed` row by row; `urls.failed_rows_xlsx` is a workbook to
   correct and to upload again.

An import that is MAPPING asks which column is which: answer by `PATCH /api/imports/{id}/`. One
that is READY was uploaded with `check_first`: `GET /api/imports/{id}/preview/` says what starting
it would do.

Every error is `{"code", "message", "errors"}`: the code is for programs, the message says what to
do, in English whatever `Accept-Language` says. A method that an address does not list is 405, and
what you may not see is 404. Addresses end in a slash; one that lacks it is 404, and its message
names the one with it. New fields and new codes may come; none will go or change its meaning.
"""

TAGS = [
    {"name": "tokens", "description": "A name and a password become Bearer tokens."},
    {"name": "imports", "description": "Upload a file, follow its import, see what was refused."},
    {"name": "files", "description": "The original, refused rows to correct, a file to fill in."},
    {"name": "customers", "description": "Whom you may see, and the import each came from."},
    {"name": "streams", "description": "Progress as server-sent events, as it happens."},
    {
        "name": "earlier contract",
        "description": "The calls of the earlier system, kept field by field. A task is an import.",
    },
    {"name": "description", "description": "This description, for programs and for people."},
]

SPECTACULAR_SETTINGS = {
    "TITLE": "Customer import",
    "DESCRIPTION": DESCRIPTION,
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "TAGS": TAGS,
    "SCHEMA_PATH_PREFIX": "/api/",
    "SERVE_AUTHENTICATION": [],  # It holds no data: whoever finds the site may read it.
    # What is sent and what is answered differ: defaults are optional in one only.
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ImportStatus": "imports.statuses.Status",
        "RowOutcome": "imports.statuses.Outcome",
        "OnDuplicate": "imports.statuses.OnDuplicate",
        "EmptyCells": "imports.statuses.EmptyCells",
        "HiddenRows": "imports.statuses.HiddenRows",
        "Success": "imports.statuses.Success",
        "Importer": "imports.api.call_descriptions.importer_names",
        "TaskStatus": "customers.api.legacy.call_descriptions.TASK_STATUSES",
    },
    "PREPROCESSING_HOOKS": ["imports.api.streams.with_streams"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "imports.api.describing.complete_request_bodies",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "docExpansion": "list", "validatorUrl": None},
}
