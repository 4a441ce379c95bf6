"""The configuration of the app, which imports spreadsheets into the models of other apps."""

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class ImportsConfig(AppConfig):
    name = "imports"
    verbose_name = _("Imports")

    def ready(self) -> None:
        from imports.checks import check_importers  # Imports the models.

        checks.register(check_importers, "imports")
