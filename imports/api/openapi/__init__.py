"""The OpenAPI description of the REST API.

`*_calls` describe the calls: each name `describe_…` decorates a view. `responses` has the error
responses and the headers that many calls share, `extensions` what drf-spectacular cannot derive
from a serializer, `hooks` what is corrected in the whole description, and `examples` real
responses. Tests validate responses against the description.

The address `schema/` of the app describes the app alone, whatever the project has set for
drf-spectacular. A project that describes these calls together with its own takes over the
settings::

    SPECTACULAR_SETTINGS = {**imports.api.openapi.SPECTACULAR_SETTINGS, "TITLE": "My site"}

This module imports nothing, so that settings may import it.
"""

TITLE = "Imports"
INTRODUCTION = """
This API imports spreadsheets. Every uploaded file becomes an import, whose progress you can
follow.
"""
GUIDE = """
1. **Log in**: `POST /api/auth/token/` with a username and a password. Send the `access` token with
   each request as `Authorization: Bearer …`. A session cookie works as well. With a cookie,
   requests that change something need the header `X-CSRFToken`.
2. **Upload**: `POST /api/imports/` with the file. The response is 202 and contains the import. The
   file is processed afterwards. With an `Idempotency-Key` you can repeat the request safely.
3. **Follow**: `GET /api/imports/{id}/` every `poll_after_seconds`, until that field is null (the
   import has ended) or `waits_for` is not null (someone must send a column mapping or start the
   import). Or open a stream: `GET /api/imports/{id}/events/` sends the same fields as server-sent
   events, and the WebSocket at `urls.websocket` sends them as messages. Every message contains all
   fields. Ignore a message whose `version` is lower than one you have received. A WebSocket closes
   with 1000 at the end of the import, with 4000 when you should reconnect, with 4400 if you send a
   message, and with 4401, 4404, 4429 or 4503 where HTTP would respond with 401, 404, 429 or 503.
4. **Read the failed rows**: `GET /api/imports/{id}/problems/` groups them by cause, and
   `GET /api/imports/{id}/rows/?outcome=failed` lists them. `urls.failed_rows_xlsx` is a workbook
   that you can correct and upload again.

An import with the status MAPPING needs a column mapping: send it with
`PATCH /api/imports/{id}/`. An import with the status READY was uploaded with `check_first`:
`GET /api/imports/{id}/preview/` shows what it would change.

`actions` lists what is possible now: `POST /api/imports/{id}/pause/`, `resume/`, `cancel/` and so
on. If the import does not allow a command, the response is 409: the message says what to do
instead. `GET /api/imports/{id}/history/` lists who did what.

Every error is `{"code", "message", "params", "errors"}`. The code is for programs. The message says
what to do, and is in English for every `Accept-Language`. A method that a URL does not support is
405. An object that you may not see is 404. URLs end in a slash: a URL without it is 404, and the
message names the URL with it. New fields and codes may be added. None will be removed or change
its meaning.

Every response has an `X-Request-ID`: the one of the request, or a new one. `X-RateLimit-Limit`,
`X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds) say how many requests you may still send.
"""
TAGS = [
    {"name": "tokens", "description": "Exchange a username and a password for Bearer tokens."},
    {"name": "imports", "description": "Upload a file, follow its import, read the failed rows."},
    {"name": "importers", "description": "What can be imported: for a form of your own."},
    {"name": "files", "description": "The uploaded file, the failed rows, a template."},
    {"name": "streams", "description": "Live progress as server-sent events."},
    {"name": "health", "description": "For monitors and hosting platforms."},
    {"name": "description", "description": "This description, as OpenAPI and as a page."},
]
SPECTACULAR_SETTINGS = {
    "TITLE": TITLE,
    "DESCRIPTION": f"{INTRODUCTION}{GUIDE}",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "TAGS": TAGS,
    # Requests and responses have types of their own: fields that are optional in a request are
    # always present in a response.
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "imports.api.openapi.hooks.name_enums",
        "drf_spectacular.hooks.postprocess_schema_enums",
        "imports.api.openapi.hooks.complete_schema",
    ],
}
