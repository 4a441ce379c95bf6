"""Log-in, log-out and change of the password: pages of the site."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.http import HttpResponse
from django.urls import path, reverse_lazy
from django.utils.translation import gettext as _


class ChangePassword(PasswordChangeView):
    template_name = "registration/password.html"  # The usual name belongs to the admin's template.
    success_url = reverse_lazy("imports:list")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, _("Your password has been changed."))
        return super().form_valid(form)


urlpatterns = [
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", ChangePassword.as_view(), name="password"),
]
