"""Bearer tokens for programs: a name and a password become an access and a refresh token."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.tokens import RefreshToken

from imports.api import examples
from imports.api.describing import (
    COMMON_HEADERS,
    PUBLIC_CALL_STATUSES,
    error_responses,
    response_example,
)
from imports.api.throttles import LoginThrottle
from imports.api.views import in_english
from imports.authentication import BearerAuthentication, get_login_hint

NO_SUCH_ACCOUNT = (
    "No active account has this username and password. Correct them, or ask whoever runs this "
    "site for an account."
)


class CredentialsSerializer(serializers.Serializer):
    username = serializers.CharField()
    password = serializers.CharField(style={"input_type": "password"}, trim_whitespace=False)


class TokensSerializer(serializers.Serializer):
    access = serializers.CharField(help_text="Send it as `Authorization: Bearer …`.")
    refresh = serializers.CharField(help_text="Gives a new access token when that has expired.")


class RefreshSerializer(serializers.Serializer):
    refresh = serializers.CharField()


class AccessSerializer(serializers.Serializer):
    access = serializers.CharField()


def described(operation_id: str, summary: str, request: Any, answer: Any, *shown: str) -> Any:
    value = {name: examples.TOKENS[name] for name in shown}
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        tags=["tokens"],
        auth=[],
        # A form is taken as well; told so, client generators make three calls of one.
        request={"application/json": request},
        parameters=COMMON_HEADERS,
        responses={
            200: OpenApiResponse(answer, examples=[response_example("tokens", value)]),
            **error_responses(*PUBLIC_CALL_STATUSES, 401, 415),
        },
    )


@method_decorator(in_english, name="dispatch")
class TokenView(APIView):
    """Log in once: an access token for the calls, a refresh token for the next one."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    @described(
        *("token_create", "Log in"),
        *(CredentialsSerializer, TokensSerializer, "access", "refresh"),
    )
    def post(self, request: Request) -> Response:
        sent = sent_as(CredentialsSerializer, request)
        login = TokenObtainPairSerializer(data=sent, context={"request": request})
        try:
            login.is_valid(raise_exception=True)
        except AuthenticationFailed:
            raise AuthenticationFailed(NO_SUCH_ACCOUNT, "no_active_account") from None
        return Response(login.validated_data)


@method_decorator(in_english, name="dispatch")
class RefreshView(APIView):
    """A new access token, unless the account or its password has changed since the login."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    @described(
        *("token_refresh", "A new access token"), *(RefreshSerializer, AccessSerializer, "access")
    )
    def post(self, request: Request) -> Response:
        sent = sent_as(RefreshSerializer, request)
        try:
            token = RefreshToken(sent["refresh"])
            BearerAuthentication().get_user(token)
        except (TokenError, AuthenticationFailed, ValueError, OverflowError):
            message = f"This refresh token is not valid (any more). {get_login_hint()}"
            raise AuthenticationFailed(message, "token_not_valid") from None
        return Response({"access": str(token.access_token)})


def sent_as(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    sent = serializer(data=request.data)
    sent.is_valid(raise_exception=True)
    return sent.validated_data
