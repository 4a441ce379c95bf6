"""The calls of the streams."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse, extend_schema_view
from rest_framework import serializers

from imports.api.openapi import examples
from imports.api.openapi.responses import (
    COMMON_HEADERS,
    IMPORT_ID_PARAMETER,
    Decorator,
    Schema,
    describe_method,
    make_error_response,
    make_missing_part_response,
    make_request_header,
    make_response_example,
)
from imports.api.response_serializers import ImportSnapshotSerializer
from imports.api.stream_views import StreamsNotServed, TicketAuthentication
from imports.statuses import FINAL_STATUSES

EVENT_NAMES = ["progress", *(status.lower() for status in sorted(FINAL_STATUSES))]
EVENT_DESCRIPTION = (
    "The `data` of each event is an ImportSnapshot as JSON, its `id` the version, and its name "
    f"one of {', '.join(f'`{name}`' for name in EVENT_NAMES)}."
)


class TicketExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = TicketAuthentication
    name = "ticket"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "For an EventSource on another site. `urls.stream` of every import has "
            "a ticket. It is valid for the stream of that import and that user, for about an hour.",
        }


def describe_stream(
    operation_id: str, summary: str, description: str, statuses: list[int], *, ends: bool
) -> Decorator:
    """Return the description of a stream; `ends` is true for the stream of one import.

    `statuses` are the error statuses, except 501.
    """
    example = make_response_example("progress", examples.format_event_example("progress"))
    events = OpenApiResponse(EventDataSerializer, EVENT_DESCRIPTION, [example])
    last_event_id = make_request_header(
        "Last-Event-ID", "The id of the last event. Browsers send it when they reconnect."
    )
    no_content = OpenApiResponse(description="You have the last snapshot. There will be no more.")
    return describe_method(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=["streams"],
        parameters=[*([IMPORT_ID_PARAMETER, last_event_id] if ends else []), *COMMON_HEADERS],
        responses={
            (200, "text/event-stream"): events,
            **({204: no_content} if ends else {}),
            **{
                (status, "application/json"): make_error_response(status, {}) for status in statuses
            },
            (501, "application/json"): make_missing_part_response(StreamsNotServed),
        },
    )


class EventDataSerializer(serializers.Serializer[Any]):
    """The body of a stream: the snapshot of each event, or the whole text.

    A client that parses event streams takes the first, any other client the second.
    """


class EventDataExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = EventDataSerializer

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> Schema:
        snapshot = auto_schema.resolve_serializer(ImportSnapshotSerializer, direction).ref
        return {"anyOf": [snapshot, {"type": "string"}]}


describe_import_stream = extend_schema_view(
    get=describe_stream(
        "imports_events",
        "Follow one import",
        "Sends the current snapshot, then each newer one, at most ten a second. The stream ends "
        "when the import ends, and after ten minutes: then connect again.",
        [400, 401, 404, 429, 503],
        ends=True,
    )
)
describe_feed = extend_schema_view(
    get=describe_stream(
        "imports_feed",
        "Follow all imports that you may see",
        "Sends the snapshots of all unfinished imports, then each newer one. The stream ends "
        "after ten minutes: then connect again.",
        [400, 401, 403, 429, 503],
        ends=False,
    )
)
