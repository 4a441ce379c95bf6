"""Bearer tokens for programs: the name and the password of a user are exchanged for tokens.

The name is the field that the user model calls USERNAME_FIELD, such as an e-mail address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
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
from imports.authentication import BAD_USER_ID_ERRORS, BearerAuthentication, get_login_hint
from imports.model_fields import get_model_field

NO_ACTIVE_ACCOUNT_MESSAGE = (
    "No active account has this %(name)s and password. Correct them, or ask whoever runs this "
    "site for an account."
)


class CredentialsSerializer(serializers.Serializer[Any]):
    """The name and the password of a user.

    The field of the name is called as USERNAME_FIELD says. `username` is accepted for it too.
    """

    password = serializers.CharField(style={"input_type": "password"}, trim_whitespace=False)

    def get_fields(self) -> dict[str, Any]:
        return {get_user_model().USERNAME_FIELD: serializers.CharField(), **super().get_fields()}

    def to_internal_value(self, data: Any) -> Any:
        name = get_user_model().USERNAME_FIELD
        if isinstance(data, Mapping) and name not in data and "username" in data:
            # Not `{**data}`, which takes lists from the fields of a form.
            data = {key: data[key] for key in data} | {name: data["username"]}
        return super().to_internal_value(data)


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
        # A backend of the project may store what it knows in the request of Django.
        login = TokenObtainPairSerializer(data=credentials, context={"request": request._request})
        try:
            login.is_valid(raise_exception=True)
        except AuthenticationFailed:
            raise AuthenticationFailed(describe_missing_account(), "no_active_account") from None
        user_logged_in.send(sender=type(login.user), request=request._request, user=login.user)
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
        except (TokenError, AuthenticationFailed, *BAD_USER_ID_ERRORS):
            message = f"This refresh token is not valid (any more). {get_login_hint()}"
            raise AuthenticationFailed(message, "token_not_valid") from None
        return Response({"access": str(token.access_token)})


def describe_missing_account() -> str:
    """Return the message for credentials that no active account has."""
    users = get_user_model()
    field = get_model_field(users, users.USERNAME_FIELD)
    return NO_ACTIVE_ACCOUNT_MESSAGE % {"name": field.verbose_name}


def _validate_body(
    serializer_class: type[serializers.Serializer[Any]], request: Request
) -> dict[str, Any]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
