"""Authentication: by a Bearer token, a session, or the ticket in the URL of a stream.

REST, server-sent events and WebSockets use the same functions. A change of the user's password, or
of the account to inactive, makes all tokens and tickets of the user invalid. A log-out makes all
tickets of the user invalid.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.contrib.auth.models import AbstractBaseUser, AbstractUser, AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from imports.client_addresses import find_forwarded_address
from imports.conf import app_settings
from imports.stream_tickets import get_ticket_stamp
from imports.token_families import create_family, is_family_valid, replace_refresh_token

TICKET_SALT = "imports.stream"
# Tickets expire at the end of a step, so that the URL of a stream, and with it the ETag of the
# response that holds it, does not change every second.
TICKET_STEPS = 12
PASSWORD_STAMP_CHARS = 16
# Raised by a query for a primary key that does not fit the user model, such as "1" for a UUID.
BAD_USER_ID_ERRORS = (ValueError, OverflowError, ValidationError)


class InvalidTicket(AuthenticationFailed):
    default_code = "invalid_ticket"
    default_detail = (
        "This stream's address is not valid (any more). GET the import: urls.stream is a new one."
    )


def get_login_hint() -> str:
    """Return the message for a request without a user.

    It is short, like that of `get_renewal_hint`, because the reason of a closed WebSocket has at
    most 123 bytes.
    """
    if not HAS_TOKENS:
        return f"Log in at {resolve_url(settings.LOGIN_URL)}, and send the session cookie."
    token = reverse("imports:api:token")
    name = get_user_model().USERNAME_FIELD
    return f"Log in: POST {name} and password to {token}, send access as Authorization: Bearer."


def get_renewal_hint() -> str:
    token, refresh = reverse("imports:api:token"), reverse("imports:api:token-refresh")
    return f"This token is not valid (any more). POST refresh to {refresh}, or log in at {token}."


AUTHENTICATION_CLASSES: tuple[type[BaseAuthentication], ...] = (SessionAuthentication,)

# Tokens are an optional part of the app.
HAS_TOKENS = find_spec("rest_framework_simplejwt") is not None
if TYPE_CHECKING or HAS_TOKENS:
    from rest_framework_simplejwt.authentication import JWTAuthentication
    from rest_framework_simplejwt.tokens import RefreshToken, Token

    FAMILY_CLAIM = "imports_family"

    class BearerAuthentication(JWTAuthentication):
        """Authenticates `Authorization: Bearer` with an access token. A bad token is a 401."""

        def authenticate(self, request: Request) -> tuple[Any, Token] | None:
            try:
                return super().authenticate(request)
            except (AuthenticationFailed, *BAD_USER_ID_ERRORS):
                raise AuthenticationFailed(get_renewal_hint(), "token_not_valid") from None

        def get_user(self, validated_token: Token) -> Any:
            """Return the user of a token whose family is valid.

            A token without a family comes from a view of the project. It is valid until it expires.
            """
            user = super().get_user(validated_token)
            family_id = validated_token.get(FAMILY_CLAIM)
            if family_id is not None and not is_family_valid(family_id):
                raise AuthenticationFailed(get_renewal_hint(), "token_not_valid")
            return user

    def make_refresh_token(user: AbstractBaseUser) -> RefreshToken:
        """Return the first refresh token of a new family."""
        token = RefreshToken.for_user(user)
        expires_at = datetime.fromtimestamp(token["exp"], UTC)
        token[FAMILY_CLAIM] = str(create_family(user, token["jti"], expires_at).pk)
        return token

    def rotate_refresh_token(token: RefreshToken) -> RefreshToken:
        """Return the token that replaces this one. It expires at the same time.

        Raises:
            FamilyEnded: The token was replaced before, or its family has ended, or it has none.
        """
        successor = RefreshToken()
        successor.payload = token.payload | {
            "jti": replace_refresh_token(token.get(FAMILY_CLAIM), token["jti"], successor["jti"])
        }
        return successor

    AUTHENTICATION_CLASSES = (BearerAuthentication, SessionAuthentication)


def get_client_address(request: HttpRequest | Request) -> str:
    """Return the IP address of the client, behind IMPORTS_TRUSTED_PROXIES proxies.

    Returns "" if the server does not know the address, for example behind a Unix socket.
    """
    connection = str(request.META.get("REMOTE_ADDR", ""))
    values = [str(request.META.get("HTTP_X_FORWARDED_FOR", ""))]
    proxies = app_settings.TRUSTED_PROXIES
    forwarded = find_forwarded_address(values, proxies) if proxies else None
    for text in (forwarded, connection):
        try:
            return str(ip_address(text or ""))
        except ValueError:
            continue
    return ""


# --- Streams -----------------------------------------------------------------


def authenticate_stream(
    request: HttpRequest, job_id: UUID | str | None = None
) -> AbstractUser | None:
    """Return the user who asks for a stream, or None if the request names no user.

    A token comes before a ticket, and a ticket before the session. A ticket is valid for the
    stream of the import `job_id` only, and not for the feed (`job_id` None).

    Raises:
        AuthenticationFailed: The request has a token or a ticket that is not valid. The session
            is not tried then.
    """
    if HAS_TOKENS and (authenticated := BearerAuthentication().authenticate(Request(request))):
        user: AbstractUser = authenticated[0]
        return user
    if ticket := request.GET.get("ticket"):
        return get_ticket_user(ticket, job_id)
    session_user = get_user(attach_session(request))
    return None if isinstance(session_user, AnonymousUser) else session_user


def attach_session(request: HttpRequest) -> HttpRequest:
    """Set `request.session` from the session cookie, as Django's middleware does."""
    session: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = session(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return request


def add_ticket(url: str, job_id: UUID, user: AbstractBaseUser) -> str:
    """Return the URL of an import's stream with a ticket for this user.

    A ticket is for a page of another site, whose EventSource can send neither headers nor cookies.
    It is valid for IMPORTS_TICKET_SECONDS, or until the user logs out, and can be used repeatedly,
    because an EventSource reconnects to the same URL.
    """
    return f"{url}?{urlencode({'ticket': make_ticket(job_id, user)})}"


def make_ticket(job_id: UUID, user: AbstractBaseUser) -> str:
    step = max(1, app_settings.TICKET_SECONDS // TICKET_STEPS)
    expires = int(timezone.now().timestamp()) + app_settings.TICKET_SECONDS
    expires += step - expires % step
    return make_ticket_signer().sign_object(
        [str(job_id), str(user.pk), get_password_stamp(user), get_ticket_stamp(user), expires]
    )


def make_ticket_signer() -> signing.Signer:
    """Return a signer without a time stamp, which would change the ticket every second."""
    return signing.Signer(salt=TICKET_SALT)


def get_ticket_user(ticket: str, job_id: UUID | str | None) -> AbstractUser:
    """Return the user of a ticket.

    Raises:
        InvalidTicket: The ticket is forged or expired, or is for another import, or the user has
            logged out, or the user's password or account has changed.
    """
    try:
        ticket_job_id, user_id, *stamps, expires = make_ticket_signer().unsign_object(ticket)
    except (signing.BadSignature, ValueError, TypeError):
        raise InvalidTicket from None
    if ticket_job_id != str(job_id) or timezone.now().timestamp() > expires:
        raise InvalidTicket
    try:
        user = get_user_model()._default_manager.filter(pk=user_id).first()
    except BAD_USER_ID_ERRORS:
        raise InvalidTicket from None
    # `is_active` may be computed, so no query filters by it.
    if user is None or not user.is_active:
        raise InvalidTicket
    if stamps != [get_password_stamp(user), get_ticket_stamp(user)]:
        raise InvalidTicket
    return user


def get_password_stamp(user: AbstractBaseUser) -> str:
    """Return a short text that changes with the user's password."""
    return str(user.get_session_auth_hash())[:PASSWORD_STAMP_CHARS]
