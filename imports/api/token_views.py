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
from rest_framework_simplejwt.serializers import TokenObtainSerializer
from rest_framework_simplejwt.tokens import RefreshToken

from imports.api.base import ApiView, check_content_length
from imports.api.errors import PayloadTooLarge
from imports.api.throttles import LoginThrottle
from imports.authentication import (
    BAD_USER_ID_ERRORS,
    FAMILY_CLAIM,
    BearerAuthentication,
    get_login_hint,
    make_refresh_token,
    rotate_refresh_token,
)
from imports.model_fields import get_model_field
from imports.token_families import FamilyEnded, revoke_family

# These calls need no login. A parsed body may take fifty times its size in memory.
MAX_CREDENTIALS_BYTES = 16 * 1024

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
    refresh = serializers.CharField(help_text="Valid once, for new tokens.")


class TokenRefreshSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField()


class CredentialsView(ApiView):
    """Base of the calls that need no login, because they check credentials themselves."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        error = PayloadTooLarge("The body is too large for a name and a password, or for a token.")
        check_content_length(request, MAX_CREDENTIALS_BYTES, error)


class TokenView(CredentialsView):
    """Log in: get an access token for calls, and a refresh token for the next tokens."""

    def post(self, request: Request) -> Response:
        credentials = _validate_body(CredentialsSerializer, request)
        # A backend of the project may store what it knows in the request of Django.
        login = TokenObtainSerializer(data=credentials, context={"request": request._request})
        try:
            login.is_valid(raise_exception=True)
        except AuthenticationFailed:
            raise AuthenticationFailed(describe_missing_account(), "no_active_account") from None
        user = login.user
        if user is None:
            raise AuthenticationFailed(describe_missing_account(), "no_active_account")
        user_logged_in.send(sender=type(user), request=request._request, user=user)
        return Response(make_token_pair(make_refresh_token(user)))


class RefreshView(CredentialsView):
    """Get new tokens, unless the account or its password has changed since the login.

    The refresh token of the request is replaced by that of the response. If a token that was
    replaced is sent again, all tokens of the login become invalid.
    """

    def post(self, request: Request) -> Response:
        token = read_refresh_token(request)
        try:
            BearerAuthentication().get_user(token)
            return Response(make_token_pair(rotate_refresh_token(token)))
        except (FamilyEnded, AuthenticationFailed, *BAD_USER_ID_ERRORS):
            raise make_invalid_refresh_error() from None


class RevokeView(CredentialsView):
    """Log out: end the refresh token, and all access tokens of the same login.

    A refresh token that has ended before receives the same response.
    """

    def post(self, request: Request) -> Response:
        revoke_family(read_refresh_token(request).get(FAMILY_CLAIM))
        return Response(status=204)


def make_token_pair(token: RefreshToken) -> dict[str, str]:
    return {"access": str(token.access_token), "refresh": str(token)}


def read_refresh_token(request: Request) -> RefreshToken:
    """Return the refresh token of a request. Does not check its user or its family.

    Raises:
        AuthenticationFailed: The token is forged or expired.
    """
    refresh = _validate_body(TokenRefreshSerializer, request)["refresh"]
    try:
        return RefreshToken(refresh)
    except TokenError:
        raise make_invalid_refresh_error() from None


def make_invalid_refresh_error() -> AuthenticationFailed:
    message = f"This refresh token is not valid (any more). {get_login_hint()}"
    return AuthenticationFailed(message, "token_not_valid")


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
