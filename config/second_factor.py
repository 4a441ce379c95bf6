"""The second factor of staff: a code of an authenticator app or a backup code.

It applies if ADMIN_SECOND_FACTOR is on. django-otp stores the devices, checks the codes and delays
further attempts after a wrong code. A user sets up one authenticator app and gets ten backup codes.
A device is an app or a set of backup codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from datetime import datetime
from typing import Any, TypeAlias

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from imports.postgres import atomic

APP_DEVICE_NAME = "authenticator app"
PREPARED_DEVICE_NAME = "authenticator app (set-up not finished)"
BACKUP_DEVICE_NAME = "backup codes"
BACKUP_CODES = 10
APP_CODE_DIGITS = 6
MAX_CODE_CHARS = 20  # With spaces between the digits.
THROTTLING_FIELDS = ("throttling_failure_timestamp", "throttling_failure_count")

Device: TypeAlias = TOTPDevice | StaticDevice

NO_CODE = _("Your account needs a code. Enter the code and the password.")
NO_DEVICE = _(
    "This code does not belong to your account. Use your authenticator app, or ask whoever runs "
    "this site for a code that is valid once."
)
INVALID_APP_CODE = _("This code is not valid, or was used before. Wait for the next one.")
INVALID_BACKUP_CODE = _(
    "This backup code is not valid, or was used before. Use another one or your authenticator app, "
    "or ask whoever runs this site for a new code."
)
NOT_AN_APP_CODE = _("Enter the six digits that the app shows.")
DELAYED = ngettext_lazy(
    "After a wrong code, no code is accepted for a while. Wait %(seconds)d second, then enter a "
    "code again.",
    "After a wrong code, no code is accepted for a while. Wait %(seconds)d seconds, then enter a "
    "code again.",
    "seconds",
)


def needs_second_factor(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether this user must log in with a code: staff and superusers."""
    is_privileged = getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)
    return bool(settings.ADMIN_SECOND_FACTOR and is_privileged)


def lacks_second_factor(user: Any) -> bool:
    """Whether the user of a request must log in with a code, and has not done so.

    `user` needs the method `is_verified`, which the middleware of django-otp adds.
    """
    return needs_second_factor(user) and not user.is_verified()


def may_have_tokens(user: AbstractBaseUser | None) -> bool:
    """Whether a user gets tokens for the name and the password. Called by simplejwt.

    The calls for tokens take no code, so a user who needs a code gets no tokens.
    """
    return user is not None and user.is_active and not needs_second_factor(user)


def make_second_factor_context(request: HttpRequest) -> dict[str, Callable[[], bool]]:
    """Return the context variable `needs_second_factor` of all templates."""
    user = getattr(request, "user", None)
    return {"needs_second_factor": lambda: user is not None and needs_second_factor(user)}


class CodeField(forms.CharField):
    """A code of an authenticator app or a backup code, without spaces and in lower case."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput({"autocomplete": "one-time-code", "autocapitalize": "none"})
        super().__init__(max_length=MAX_CODE_CHARS, widget=widget, **options)

    def to_python(self, value: Any) -> str:
        return "".join(str(super().to_python(value)).split()).lower()


class LoginForm(AuthenticationForm):
    """The log-in of the site. Asks users who need a second factor for their code."""

    otp_token = CodeField(label=_("Code (staff only)"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.ADMIN_SECOND_FACTOR:
            del self.fields["otp_token"]

    def confirm_login_allowed(self, user: Any) -> None:
        """Check the code. Called when the password is right."""
        super().confirm_login_allowed(user)
        if not needs_second_factor(user):
            return
        code = self.cleaned_data.get("otp_token")
        if not code:
            raise ValidationError(NO_CODE, code="no_code")
        try:
            user.otp_device = verify_code(user, code)  # django-otp enters it in the session.
        except ValidationError as error:
            if error.code == "invalid":  # Count it like a wrong password.
                user_login_failed.send(
                    sender=__name__,
                    credentials={"username": self.cleaned_data["username"]},
                    request=self.request,
                )
            raise


class SetupForm(forms.Form):
    """The first code of a new authenticator app."""

    otp_token = CodeField(label=_("Code of the app"))


def verify_code(user: AbstractBaseUser, code: str) -> Device:
    """Use up the code, and return the confirmed device of the user that accepts it.

    Tries each device for codes of this form, except those that are delayed after a wrong code.

    Raises:
        ValidationError: with the code `no_device` if the user has no device for such codes,
            `delayed` if each of them is delayed, or `invalid` if none accepts the code.
    """
    with atomic():
        result = _try_code(_lock_devices(user, code), code)
    if isinstance(result, ValidationError):  # Raised here, since the transaction counts failures.
        raise result
    return result


def verify_first_code(app: TOTPDevice, code: str) -> None:
    """Use up the code of an app that is being set up.

    Raises:
        ValidationError: if the app does not accept the code, or is delayed after a wrong code.
    """
    if not _is_app_code(code):
        raise ValidationError(NOT_AN_APP_CODE, code="invalid")
    with atomic():
        apps = TOTPDevice.objects.filter(pk=app.pk, confirmed=False).select_for_update()
        result = _try_code(list(apps), code)
    if isinstance(result, ValidationError):
        raise result


def has_app(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether the user has set up an authenticator app."""
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def _is_app_code(code: str) -> bool:
    return len(code) == APP_CODE_DIGITS and code.isdecimal()


def _lock_devices(user: AbstractBaseUser, code: str) -> list[Device]:
    """Return the confirmed devices of the user for codes of this form, locked."""
    devices: list[Device] = []
    if code.isdecimal():
        apps = TOTPDevice.objects.devices_for_user(user, confirmed=True).filter(digits=len(code))
        devices += apps.select_for_update().order_by("pk")
    if not _is_app_code(code):
        backups = StaticDevice.objects.devices_for_user(user, confirmed=True)
        devices += backups.select_for_update().order_by("pk")
    return devices


def _try_code(devices: Sequence[Device], code: str) -> Device | ValidationError:
    """Return the device that accepts the code, or the error if none does.

    django-otp counts a wrong code at each device that refuses it. If another device accepts the
    code, it was not wrong, and the counts of the others stay as they were.
    """
    if not devices:
        return ValidationError(NO_DEVICE, code="no_device")
    allowed = [device for device in devices if device.verify_is_allowed()[0]]
    if not allowed:
        seconds = min(map(_count_delay_seconds, devices))
        return ValidationError(DELAYED, code="delayed", params={"seconds": seconds})
    refused: list[Device] = []  # As they were before.
    for device in allowed:
        before = copy(device)
        if device.verify_token(code):
            for other in refused:
                other.save(update_fields=THROTTLING_FIELDS)
            return device
        refused.append(before)
    message = INVALID_APP_CODE if _is_app_code(code) else INVALID_BACKUP_CODE
    return ValidationError(message, code="invalid")


def _count_delay_seconds(device: Device) -> int:
    """Return how long a device that is delayed accepts no code, at least 1 second."""
    _allowed, details = device.verify_is_allowed()
    if details is None:  # The delay has just ended.
        return 1
    locked_until: datetime = details["locked_until"]
    return max(1, math.ceil((locked_until - timezone.now()).total_seconds()))


def prepare_app(user: AbstractBaseUser | AnonymousUser) -> TOTPDevice:
    """Return the one app that the user is setting up. Log-ins do not accept its codes yet.

    Deletes other apps that are not confirmed.
    """
    with atomic():
        # Without the lock, two requests at the same moment would create two apps.
        users = get_user_model().objects.select_for_update(no_key=True)
        users.get(pk=user.pk)  # type: ignore[misc]  # A user who is logged in has a key.
        apps = TOTPDevice.objects.filter(user=user, confirmed=False)
        prepared = apps.filter(name=PREPARED_DEVICE_NAME).order_by("pk").first()
        if prepared is None:
            prepared = TOTPDevice.objects.create(
                user=user, confirmed=False, name=PREPARED_DEVICE_NAME
            )
        apps.exclude(pk=prepared.pk).delete()
        return prepared


def confirm_app(app: TOTPDevice) -> list[str]:
    """Let log-ins accept the codes of the app. Return new backup codes.

    Deletes the earlier app and the earlier backup codes of the user.
    """
    with atomic():
        TOTPDevice.objects.filter(user=app.user).exclude(pk=app.pk).delete()
        app.confirmed, app.name = True, APP_DEVICE_NAME
        app.save(update_fields=["confirmed", "name"])
        return _replace_backup_codes(app.user, BACKUP_CODES)


def reset_second_factor(user: AbstractBaseUser) -> str:
    """Delete the app and the backup codes of a user. Return a code that is valid once."""
    with atomic():
        TOTPDevice.objects.filter(user=user).delete()
        return _replace_backup_codes(user, 1)[0]


def _replace_backup_codes(user: AbstractBaseUser, count: int) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name=BACKUP_DEVICE_NAME)
    codes = [StaticToken.random_token() for _ in range(count)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes
