"""The imports app: a file becomes an ImportJob, and its rows records of any model."""

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class ImportsConfig(AppConfig):
    name = "imports"
    verbose_name = _("Imports")

    def ready(self) -> None:
        from imports.checks import check_importers  # Needs the models.

        checks.register(check_importers, "imports")
