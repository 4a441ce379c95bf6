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
    AccessTokenSerializer,
    CredentialsSerializer,
    TokenPairSerializer,
    TokenRefreshSerializer,
)


def describe_token_call(
    operation_id: str,
    summary: str,
    *,
    request: type[serializers.Serializer[Any]],
    response: type[serializers.Serializer[Any]],
) -> Decorator:
    example = {name: examples.TOKENS[name] for name in response().get_fields()}
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
            200: OpenApiResponse(response, examples=[make_response_example("tokens", example)]),
            **make_error_responses(*PUBLIC_CALL_STATUSES, 401, 415),
        },
    )
    return extend_schema_view(post=call)


describe_token = describe_token_call(
    "token_create", "Log in", request=CredentialsSerializer, response=TokenPairSerializer
)
describe_refresh = describe_token_call(
    "token_refresh",
    "Get a new access token",
    request=TokenRefreshSerializer,
    response=AccessTokenSerializer,
)
