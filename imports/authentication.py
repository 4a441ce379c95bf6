"""Who asks: a Bearer token, a session, or the ticket in a stream's address.

One answer for REST, server-sent events and WebSockets. A token is as good as its user: a
changed password or a deactivated account ends every token and ticket at once.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.core import signing
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import Token

TICKET_SALT = "imports.stream"
# An address that changed with every second would change the answer's ETag with it.
TICKET_STEPS = 12
PASSWORD_STAMP_CHARS = 16  # Of a user's password, as a token or a ticket remembers it.


class InvalidTicket(AuthenticationFailed):
    default_code = "invalid_ticket"
    default_detail = (
        "This stream's address is not valid (any more). GET the import: urls.stream is a new one."
    )


def get_login_hint() -> str:
    """Short, as the next is: the reason a WebSocket closes with has 123 bytes."""
    token = reverse("api:token")
    return f"Log in: POST username and password to {token}, send access as Authorization: Bearer."


def get_renewal_hint() -> str:
    token, refresh = reverse("api:token"), reverse("api:token-refresh")
    return f"This token is not valid (any more). POST refresh to {refresh}, or log in at {token}."


class BearerAuthentication(JWTAuthentication):
    """`Authorization: Bearer` with an access token; what is no token of ours is a 401."""

    def authenticate(self, request: Request | HttpRequest) -> tuple[AbstractBaseUser, Token] | None:
        try:
            return super().authenticate(request)
        except (AuthenticationFailed, ValueError, OverflowError):  # Also of claims no key holds.
            raise AuthenticationFailed(get_renewal_hint(), "token_not_valid") from None


# --- Streams -----------------------------------------------------------------


def authenticate_stream(
    request: HttpRequest, job_id: UUID | str | None = None
) -> AbstractBaseUser | None:
    """Who asks for a stream: by token, by ticket or by session; None if nobody says so.

    A ticket is good for the stream of one import. Raises AuthenticationFailed for a token or
    a ticket that is not (any more) valid, rather than falling back to another way.
    """
    known = BearerAuthentication().authenticate(request)
    if known is not None:
        return known[0]
    if ticket := request.GET.get("ticket"):
        return get_ticket_user(ticket, job_id)
    user = get_user(attach_session(request))
    return user if user.is_authenticated else None


def attach_session(request: HttpRequest) -> HttpRequest:
    """The request with the session its cookie names, as Django's middleware would give it."""
    session: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = session(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return request


def add_ticket(address: str, job_id: UUID, user: AbstractBaseUser) -> str:
    """The address of an import's stream, good for this user and a while.

    For a browser's EventSource on another site, which can send neither header nor cookie.
    It reconnects to the same address, so a ticket for one use would end the stream.
    """
    return f"{address}?{urlencode({'ticket': make_ticket(job_id, user)})}"


def make_ticket(job_id: UUID, user: AbstractBaseUser) -> str:
    step = max(1, settings.IMPORT_TICKET_SECONDS // TICKET_STEPS)
    ends = int(timezone.now().timestamp()) + settings.IMPORT_TICKET_SECONDS
    ends += step - ends % step
    return make_ticket_signer().sign_object([str(job_id), user.pk, get_password_stamp(user), ends])


def make_ticket_signer() -> signing.Signer:
    """Without the second of the signature, which would change the address each second."""
    return signing.Signer(salt=TICKET_SALT)


def get_ticket_user(sent: str, job_id: UUID | str | None) -> AbstractBaseUser:
    try:
        job, user_id, stamped, ends = make_ticket_signer().unsign_object(sent)
    except (signing.BadSignature, ValueError, TypeError):
        raise InvalidTicket from None
    if job != str(job_id) or timezone.now().timestamp() > ends:
        raise InvalidTicket
    user = get_user_model()._default_manager.filter(pk=user_id, is_active=True).first()
    if user is None or stamped != get_password_stamp(user):
        raise InvalidTicket
    return user


def get_password_stamp(user: Any) -> str:
    """What changes with the user's password."""
    return user.get_session_auth_hash()[:PASSWORD_STAMP_CHARS]
