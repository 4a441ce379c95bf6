"""Bearer tokens for programs: a user name and a password are exchanged for tokens."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.tokens import RefreshToken

from imports.api.base import ApiView
from imports.api.throttles import LoginThrottle
from imports.authentication import BearerAuthentication, get_login_hint

NO_ACTIVE_ACCOUNT_MESSAGE = (
    "No active account has this username and password. Correct them, or ask whoever runs this "
    "site for an account."
)


class CredentialsSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    password = serializers.CharField(style={"input_type": "password"}, trim_whitespace=False)


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="Send it as `Authorization: Bearer …`.")
    refresh = serializers.CharField(help_text="Returns a new access token after that has expired.")


class TokenRefreshSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField()


class AccessTokenSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()


class TokenView(ApiView):
    """Log in: get an access token for calls, and a refresh token for the next access token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    def post(self, request: Request) -> Response:
        credentials = _validate_body(CredentialsSerializer, request)
        login = TokenObtainPairSerializer(data=credentials, context={"request": request})
        try:
            login.is_valid(raise_exception=True)
        except AuthenticationFailed:
            raise AuthenticationFailed(NO_ACTIVE_ACCOUNT_MESSAGE, "no_active_account") from None
        return Response(login.validated_data)


class RefreshView(ApiView):
    """Get a new access token, unless the account or its password has changed since the login."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    def post(self, request: Request) -> Response:
        refresh = _validate_body(TokenRefreshSerializer, request)["refresh"]
        try:
            token = RefreshToken(refresh)
            BearerAuthentication().get_user(token)
        except (TokenError, AuthenticationFailed, ValueError, OverflowError):
            message = f"This refresh token is not valid (any more). {get_login_hint()}"
            raise AuthenticationFailed(message, "token_not_valid") from None
        return Response({"access": str(token.access_token)})


def _validate_body(
    serializer_class: type[serializers.Serializer[Any]], request: Request
) -> dict[str, Any]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
