"""The health of the app, for hosting platforms and monitors. Public: it holds no personal data."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from imports.api.base import ApiView
from imports.health import can_reach_database, read_health


class HealthSerializer(serializers.Serializer[Any]):
    """Whether the app works, and what does not."""

    is_healthy = serializers.BooleanField(
        help_text="The database answers, Redis stores messages, and a worker is running."
    )
    database = serializers.BooleanField(help_text="PostgreSQL answers.")
    redis = serializers.BooleanField(help_text="Redis answers and stores messages.")
    workers = serializers.IntegerField(
        allow_null=True, help_text="Live workers; null if the database does not answer."
    )
    oldest_waiting_seconds = serializers.IntegerField(
        allow_null=True,
        help_text="How long the import that has waited longest for a worker has waited; null if "
        "none waits.",
    )


class WebHealthSerializer(serializers.Serializer[Any]):
    """Whether a web process can serve requests."""

    database = serializers.BooleanField(help_text="PostgreSQL answers.")


class _PublicView(ApiView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    query_serializer_class = None


class HealthView(_PublicView):
    """The state of the whole app. Status 503 if something does not work."""

    serializer_class = HealthSerializer

    def get(self, request: Request) -> Response:
        health = read_health()
        return _make_response(HealthSerializer(health).data, is_healthy=health["is_healthy"])


class WebHealthView(_PublicView):
    """Whether this web process can serve requests. Status 503 if not."""

    serializer_class = WebHealthSerializer

    def get(self, request: Request) -> Response:
        is_healthy = can_reach_database()
        data = WebHealthSerializer({"database": is_healthy}).data
        return _make_response(data, is_healthy=is_healthy)


def _make_response(data: Any, *, is_healthy: bool) -> Response:
    status = HTTP_200_OK if is_healthy else HTTP_503_SERVICE_UNAVAILABLE
    return Response(data, status, headers={"Cache-Control": "no-store"})
