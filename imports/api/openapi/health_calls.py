"""The calls that monitors and hosting platforms use."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema_view

from imports.api.health_views import HealthSerializer, WebHealthSerializer
from imports.api.openapi.responses import (
    Decorator,
    describe_method,
    make_error_responses,
    make_response_example,
)
from imports.health import Health

HEALTH: Health = {
    "is_healthy": True,
    "database": True,
    "redis": True,
    "workers": 1,
    "oldest_waiting_seconds": None,
}
WITHOUT_WORKER: Health = HEALTH | {
    "is_healthy": False,
    "workers": 0,
    "oldest_waiting_seconds": 40,
}


def describe_health_call(
    operation_id: str, summary: str, description: str, serializer: type, examples: list[Any]
) -> Decorator:
    """Describe a call whose body is the same with status 200 and with status 503."""
    healthy, unhealthy = examples
    return describe_method(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=["health"],
        auth=[],
        responses={
            200: OpenApiResponse(serializer, examples=[make_response_example("healthy", healthy)]),
            503: OpenApiResponse(
                serializer,
                "Something does not work: the body says what.",
                [make_response_example("unhealthy", unhealthy)],
            ),
            **make_error_responses(400, 406, 500),
        },
    )


describe_health = extend_schema_view(
    get=describe_health_call(
        "health",
        "Read whether database, Redis and workers work",
        "For a monitor that notifies a person. The values are at most some seconds old.",
        HealthSerializer,
        [HEALTH, WITHOUT_WORKER],
    )
)
describe_web_health = extend_schema_view(
    get=describe_health_call(
        "health_web",
        "Read whether the web process works",
        "For a platform that restarts web processes: Redis and workers do not count.",
        WebHealthSerializer,
        [{"database": True}, {"database": False}],
    )
)
