"""Log-in, log-out, change of the password and set-up of the second factor: pages of the site."""

from __future__ import annotations

from base64 import b32encode

import django_otp
import segno
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import (
    LoginView,
    LogoutView,
    PasswordChangeView,
    redirect_to_login,
)
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse, reverse_lazy
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from config.second_factor import (
    LoginForm,
    SetupForm,
    confirm_app,
    has_app,
    lacks_second_factor,
    needs_second_factor,
    prepare_app,
    verify_first_code,
)

QR_MODULE_PIXELS = 5


class LogIn(LoginView):
    form_class = LoginForm

    @property
    def redirect_authenticated_user(self) -> bool:  # type: ignore[override]
        """Whether the page redirects a user who is logged in: not if the session lacks a code."""
        return not lacks_second_factor(self.request.user)

    def get_success_url(self) -> str:
        """Lead a user without an authenticator app to its set-up: the last code may be used up."""
        if needs_second_factor(self.request.user) and not has_app(self.request.user):
            return reverse("second_factor")
        return super().get_success_url()


class ChangePassword(PasswordChangeView):
    template_name = "registration/password.html"  # The usual name belongs to the admin's template.
    success_url = reverse_lazy("imports:list")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, _("Your password has been changed."))
        return super().form_valid(form)


@sensitive_post_parameters()
@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def set_up_second_factor(request: HttpRequest) -> HttpResponse:
    """Show the QR code of a new authenticator app, and the backup codes after its first code.

    Needs a session that was opened with a code: of an earlier app, a backup code, or the code of
    reset_second_factor.
    """
    if not needs_second_factor(request.user):
        raise Http404
    if lacks_second_factor(request.user):
        return redirect_to_login(request.get_full_path())
    app = prepare_app(request.user)
    form = SetupForm(request.POST or None)
    if form.is_valid():
        try:
            verify_first_code(app, form.cleaned_data["otp_token"])
        except ValidationError as error:
            form.add_error("otp_token", error)
        else:
            codes = confirm_app(app)
            django_otp.login(request, app)
            return render(request, "registration/backup_codes.html", {"codes": codes})
    context = {
        "form": form,
        "qr_code": mark_safe(draw_qr_code(app.config_url)),  # An SVG of lines, without text.
        "key": b32encode(app.bin_key).decode(),
    }
    return render(request, "registration/second_factor.html", context)


def draw_qr_code(text: str) -> str:
    """Return a QR code as an SVG element. It has a light background in every theme."""
    return str(segno.make(text).svg_inline(scale=QR_MODULE_PIXELS, light="white"))


urlpatterns = [
    path("login/", LogIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", ChangePassword.as_view(), name="password"),
    path("second-factor/", set_up_second_factor, name="second_factor"),
]
