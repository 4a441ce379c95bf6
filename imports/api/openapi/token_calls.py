"""The calls that exchange credentials for tokens."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema_view
from rest_framework import serializers

from imports.api.openapi import examples
from imports.api.openapi.responses import (
    PUBLIC_CALL_STATUSES,
    THROTTLED_HEADERS,
    Decorator,
    describe_method,
    make_error_responses,
    make_response_example,
)
from imports.api.token_views import (
    CredentialsSerializer,
    TokenPairSerializer,
    TokenRefreshSerializer,
)


def describe_token_call(
    operation_id: str,
    summary: str,
    *,
    request: type[serializers.Serializer[Any]],
    response: type[serializers.Serializer[Any]] | None,
) -> Decorator:
    """Describe a call. `response` None: its response has no body."""
    success = {204: OpenApiResponse(description="Logged out.")}
    if response is not None:
        example = {name: examples.TOKENS[name] for name in response().get_fields()}
        success = {
            200: OpenApiResponse(response, examples=[make_response_example("tokens", example)])
        }
    call = describe_method(
        operation_id=operation_id,
        summary=summary,
        tags=["tokens"],
        auth=[],
        # The call accepts a form too. With both types in the description, client generators make
        # one function for each type.
        request={"application/json": request},
        parameters=THROTTLED_HEADERS,
        responses={
            **success,
            **make_error_responses(*PUBLIC_CALL_STATUSES, 401, 411, 413, 415),
        },
    )
    return extend_schema_view(post=call)


describe_token = describe_token_call(
    "token_create", "Log in", request=CredentialsSerializer, response=TokenPairSerializer
)
describe_refresh = describe_token_call(
    "token_refresh",
    "Get new tokens",
    request=TokenRefreshSerializer,
    response=TokenPairSerializer,
)
describe_revoke = describe_token_call(
    "token_revoke", "Log out", request=TokenRefreshSerializer, response=None
)
