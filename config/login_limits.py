"""Limits on failed log-ins, for the page, the admin and the tokens of the API.

django-axes counts the failures in PostgreSQL, so the counts hold for all processes. Its handler
is extended by three rules:

* An address has a limit of its own, whatever the names are.
* An account has a limit of its own, whatever the addresses are. It does not apply to an address
  from which its user has logged in within LOGIN_KNOWN_DAYS, so a stranger cannot lock the user out.
* A process checks one log-in of an address at a time. Otherwise a hundred passwords that are sent
  at the same moment would all be checked before the first failure counts. A few log-ins wait, each
  in a request slot of the process. The process refuses further ones at once and does not count
  them, so neither one address nor many addresses together can occupy all request slots.
"""

from __future__ import annotations

from datetime import timedelta
from threading import Lock, Semaphore
from typing import Any
from weakref import WeakValueDictionary

from axes.handlers.database import AxesDatabaseHandler
from axes.middleware import AxesMiddleware
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, Sum
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language, ngettext, override
from django.utils.translation import gettext as _
from rest_framework.exceptions import Throttled

from config.errors import make_api_response
from imports.authentication import get_client_address
from imports.client_addresses import get_counted_address

MAX_NAME_CHARS = 255  # The length of the column in axes.
# Log-ins of one address in a process: the one that is being checked, and those that wait.
MAX_LOGINS_PER_ADDRESS = 4
# Log-ins of all addresses in a process. It has more request slots, so it serves pages while many
# addresses guess passwords, which takes much processor time.
MAX_LOGINS = 8
BUSY_RETRY_SECONDS = 5


class LoginQueue:
    """The log-ins of one address in this process."""

    def __init__(self) -> None:
        self.slots = Semaphore(MAX_LOGINS_PER_ADDRESS)
        self.lock = Lock()

    def acquire(self) -> bool:
        """Wait until no other log-in is being checked. Return False at once if no slot is free."""
        if not self.slots.acquire(blocking=False):
            return False
        if not _process_slots.acquire(blocking=False):
            self.slots.release()
            return False
        self.lock.acquire()
        return True

    def release(self) -> None:
        """Let the next log-in be checked."""
        self.lock.release()
        self.slots.release()
        _process_slots.release()


_process_slots = Semaphore(MAX_LOGINS)
_queues: WeakValueDictionary[str, LoginQueue] = WeakValueDictionary()
_queues_lock = Lock()


class LoginHandler(AxesDatabaseHandler):  # type: ignore[misc]  # axes is untyped.
    """The handler of axes, with the rules of this module."""

    def is_allowed(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        return acquire_login_queue(request) and bool(super().is_allowed(request, credentials))

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        """Whether a log-in is refused before its password is checked."""
        if super().is_locked(request, credentials):  # The limit of the name and the address.
            return True
        name, address = get_login_name(request, credentials), get_login_address(request)
        if is_known_address(name, address):
            return False
        cooloff, account_period = settings.AXES_COOLOFF_TIME, settings.LOGIN_ACCOUNT_PERIOD
        return (
            count_failures(cooloff, ip_address=address) >= settings.LOGIN_FAILURES_PER_ADDRESS
            or count_failures(account_period, username=name) >= settings.LOGIN_FAILURES_PER_ACCOUNT
        )

    def user_login_failed(
        self,
        sender: object,
        credentials: dict[str, Any],
        request: HttpRequest | None = None,
        **kwargs: Any,
    ) -> None:
        if not getattr(request, "is_login_refused", False):
            super().user_login_failed(sender, credentials, request, **kwargs)

    def user_logged_in(
        self, sender: object, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any
    ) -> None:
        super().user_logged_in(sender, request, user, **kwargs)
        remember_address(user.get_username(), get_login_address(request))

    def clean_expired_user_attempts(
        self, request: HttpRequest | None = None, credentials: dict[str, Any] | None = None
    ) -> int:
        """Delete failures when the longest period that counts them is over."""
        period = max(settings.AXES_COOLOFF_TIME, settings.LOGIN_ACCOUNT_PERIOD)
        expired = AccessAttempt.objects.filter(attempt_time__lte=timezone.now() - period)
        return int(expired.delete()[0])


class LoginMiddleware(AxesMiddleware):  # type: ignore[misc]  # axes is untyped.
    """The middleware of axes. It also releases the queue of a log-in at the end of the request."""

    async_capable = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        queues: list[LoginQueue] = []
        request.login_queues = queues  # type: ignore[attr-defined]  # For acquire_login_queue.
        try:
            response: HttpResponse = super().__call__(request)
            return response
        finally:
            for queue in queues:
                queue.release()


def acquire_login_queue(request: HttpRequest) -> bool:
    """Wait until this process checks no other log-in of the address.

    Returns False at once if too many log-ins wait. Otherwise the request has the queue until its
    end, when LoginMiddleware releases it; a second call does nothing. Without LoginMiddleware,
    nothing would release the queue, so there is no wait.
    """
    queues: list[LoginQueue] | None = getattr(request, "login_queues", None)
    if queues is None or queues:
        return True
    with _queues_lock:
        queue = _queues.setdefault(get_login_address(request) or "", LoginQueue())
    if not queue.acquire():
        request.is_login_refused = True  # type: ignore[attr-defined]  # Read by this module.
        return False
    queues.append(queue)
    return True


def count_failures(period: timedelta, **fields: str | None) -> int:
    """Return the number of failures in rows that a failure within the period has changed."""
    attempts = AccessAttempt.objects.filter(attempt_time__gt=timezone.now() - period, **fields)
    return int(attempts.aggregate(total=Sum("failures_since_start"))["total"] or 0)


def is_known_address(name: str | None, address: str | None) -> bool:
    """Whether a user of this name has logged in from this address within LOGIN_KNOWN_DAYS."""
    since = timezone.now() - timedelta(days=settings.LOGIN_KNOWN_DAYS)
    logins = AccessLog.objects.filter(username=name, ip_address=address, attempt_time__gt=since)
    return address is not None and bool(logins.exists())


def remember_address(name: str, address: str | None) -> None:
    """Store that the user has logged in from the address now.

    Delete all log-ins that are too old, also those of users who do not log in any more.
    """
    if address is None:
        return
    since = timezone.now() - timedelta(days=settings.LOGIN_KNOWN_DAYS)
    same = Q(username=name, ip_address=address)
    AccessLog.objects.filter(same | Q(attempt_time__lte=since)).delete()
    AccessLog.objects.create(username=name, ip_address=address)


@receiver(post_delete, sender=settings.AUTH_USER_MODEL)
def delete_logins_of_account(sender: object, instance: AbstractBaseUser, **kwargs: object) -> None:
    """Delete the log-ins and the failures of an account that is deleted."""
    for model in (AccessLog, AccessAttempt):
        model.objects.filter(username=instance.get_username()).delete()


def get_login_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str | None:
    """Return the name of a log-in as axes stores it. Called by axes."""
    credentials = credentials or {}
    name = credentials.get("username") or credentials.get(get_user_model().USERNAME_FIELD)
    return None if name is None else str(name).replace("\0", "")[:MAX_NAME_CHARS]


def get_login_address(request: HttpRequest) -> str | None:
    """Return the address under which failures are counted: a network for IPv6. Called by axes.

    Returns None if the server does not know the address of the client.
    """
    address = get_client_address(request)
    return get_counted_address(address) if address else None


def make_lockout_response(
    request: HttpRequest, response: HttpResponse | None = None, credentials: object = None
) -> HttpResponse:
    """Return the response to a log-in that is refused without a check of its password: status 429.

    The response does not depend on whether the name has an account.
    """
    is_api = request.path_info.startswith("/api/")
    with override("en" if is_api else get_language()):
        if getattr(request, "is_login_refused", False):
            seconds = BUSY_RETRY_SECONDS
            heading = _("Too many log-ins at once")
            sentence = _(
                "Other log-ins are being checked at the moment. Yours was not checked. Try again "
                "in a few seconds."
            )
        else:
            seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
            heading = _("Too many failed log-ins")
            sentence = describe_lockout(max(1, round(seconds / 60)))
        if is_api:
            return make_api_response(Throttled(seconds, sentence))
    page = render(request, "429.html", {"heading": heading, "sentence": sentence}, status=429)
    page["Retry-After"] = str(seconds)
    return page


def describe_lockout(minutes: int) -> str:
    return ngettext(
        "Too many log-ins have failed. Try again in %(minutes)d minute.",
        "Too many log-ins have failed. Try again in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}
