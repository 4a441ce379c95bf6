"""The second factor of staff: a code of an authenticator app or a backup code.

It applies if ADMIN_SECOND_FACTOR is on. django-otp stores the devices, checks the codes and delays
further attempts after a wrong code. A user has one authenticator app and ten backup codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_otp.forms import OTPAuthenticationFormMixin
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from imports.postgres import atomic

APP_DEVICE_NAME = "authenticator app"
BACKUP_DEVICE_NAME = "backup codes"
BACKUP_CODES = 10
APP_CODE_DIGITS = 6
MAX_CODE_CHARS = 20  # With spaces between the digits.


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


class LoginForm(OTPAuthenticationFormMixin, AuthenticationForm):  # type: ignore[misc]
    """The log-in of the site. Asks users who need a second factor for their code."""

    otp_error_messages = OTPAuthenticationFormMixin.otp_error_messages | {
        "token_required": _("Your account needs a code. Enter the code and the password."),
        "invalid_token": _("This code is not valid, or was used before. Wait for the next one."),
        "device_required": _(
            "This code does not belong to your account. Use your authenticator app, or ask whoever "
            "runs this site for a code that is valid once."
        ),
    }
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
        code = self.cleaned_data.get("otp_token", "")
        self.cleaned_data["otp_device"] = find_device_id(user, code)
        try:
            self.clean_otp(user)
        except ValidationError as error:
            if error.code == "invalid_token":  # Count it like a wrong password.
                user_login_failed.send(
                    sender=__name__,
                    credentials={"username": self.cleaned_data["username"]},
                    request=self.request,
                )
            raise
        finally:
            # django-otp would send the password back with the page.
            self.fields["password"].widget.render_value = False


class SetupForm(forms.Form):
    """The first code of a new authenticator app."""

    otp_token = CodeField(label=_("Code of the app"))


def find_device_id(user: AbstractBaseUser, code: str) -> str | None:
    """Return the id of the user's device for codes of this form; None if the user has none."""
    is_app_code = len(code) == APP_CODE_DIGITS and code.isdecimal()
    devices = TOTPDevice if is_app_code else StaticDevice
    device = devices.objects.devices_for_user(user, confirmed=True).order_by("-pk").first()
    return None if device is None else str(device.persistent_id)


def prepare_app(user: AbstractBaseUser | AnonymousUser) -> TOTPDevice:
    """Return the app that the user is setting up. Log-ins do not accept its codes yet."""
    prepared = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk").first()
    return prepared or TOTPDevice.objects.create(user=user, confirmed=False, name=APP_DEVICE_NAME)


def confirm_app(app: TOTPDevice) -> list[str]:
    """Let log-ins accept the codes of the app. Return new backup codes.

    Deletes the earlier app and the earlier backup codes of the user.
    """
    with atomic():
        TOTPDevice.objects.filter(user=app.user).exclude(pk=app.pk).delete()
        app.confirmed = True
        app.save(update_fields=["confirmed"])
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
