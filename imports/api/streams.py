"""Streams in the description: they are consumers, so views that only describe stand in for them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.views import APIView

from imports.api import examples
from imports.api.describing import COMMON_HEADERS, error_response, request_header, response_example
from imports.authentication import BearerAuthentication
from imports.statuses import FINAL_STATUSES

EVENT = {
    "type": "object",
    "description": "Each of the events.",
    "properties": {
        "id": {"type": "string", "description": "The snapshot's version."},
        "event": {"enum": ["progress", *(status.lower() for status in sorted(FINAL_STATUSES))]},
        "data": {
            "type": "string",
            "description": "The snapshot, as JSON.",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Snapshot"},
        },
        "retry": {"type": "integer", "description": "Milliseconds; before the first event."},
    },
}
ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class Ticket(BaseAuthentication):
    """The signed address of one import's stream, as `imports.authentication` takes it."""


class TicketInTheAddress(OpenApiAuthenticationExtension):
    target_class = Ticket
    name = "ticket"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "`urls.stream` of every answer holds one: good for the stream of that "
            "import, that user and about an hour. For an EventSource on another site.",
        }


def stream(operation_id: str, summary: str, text: str, *statuses: int, ends: bool) -> Any:
    shown = examples.event("progress")
    events = OpenApiResponse(EVENT, text, [response_example("progress", f"retry: 3000\n\n{shown}")])
    last_event = request_header("Last-Event-ID", "The last event's id; browsers send it again.")
    seen = OpenApiResponse(description="You have seen the end: there is no more to come.")
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=text,
        tags=["streams"],
        parameters=[*([ID, last_event] if ends else []), *COMMON_HEADERS],
        responses={
            (200, "text/event-stream"): events,
            **({204: seen} if ends else {}),
            **{(status, "application/json"): error_response(status, {}) for status in statuses},
        },
    )


class OneStream(APIView):
    authentication_classes = (BearerAuthentication, SessionAuthentication, Ticket)

    @stream(
        "imports_events",
        "Follow one import",
        "First the snapshot as it is, then each newer one, at most ten a second. It ends with the "
        "import, and after ten minutes: ask again.",
        *(400, 401, 404, 429, 503),
        ends=True,
    )
    def get(self, request: Any, id: str) -> None: ...  # noqa: A002


class Feed(APIView):
    authentication_classes = (BearerAuthentication, SessionAuthentication)

    @stream(
        "imports_feed",
        "Follow all imports that you may see",
        "Snapshots of all that are unfinished, and of each that changes. It ends after ten "
        "minutes: ask again.",
        *(400, 401, 403, 429, 503),
        ends=False,
    )
    def get(self, request: Any) -> None: ...


STREAMS = {
    "/api/imports/{id}/events/": OneStream,
    "/api/imports/events/": Feed,
}


def with_streams(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """What there is to describe, streams among it."""
    streams = [(path, path, "GET", view.as_view()) for path, view in STREAMS.items()]
    return [*endpoints, *streams]
