"""The configuration of the app, which imports spreadsheets into the models of other apps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out
from django.core import checks
from django.db.models.signals import post_delete
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class ImportsConfig(AppConfig):
    name = "imports"
    verbose_name = _("Imports")

    def ready(self) -> None:
        # The importers of other apps register themselves when their modules are imported.
        autodiscover_modules("importers")
        # These modules import the models.
        from imports.checks import check_importers
        from imports.database_checks import check_database_log, check_databases
        from imports.models import ImportJob
        from imports.retention import delete_remains
        from imports.setup_checks import (
            check_deployed_broker,
            check_setup,
            check_trusted_proxies,
        )
        from imports.stream_tickets import revoke_tickets

        def on_log_out(user: AbstractBaseUser | None, **kwargs: object) -> None:
            revoke_tickets(user)

        user_logged_out.connect(on_log_out, dispatch_uid="imports.revoke_tickets", weak=False)
        checks.register(check_importers, "imports")
        checks.register(check_databases, "imports")
        checks.register(check_setup, "imports")
        checks.register(check_deployed_broker, "imports", deploy=True)
        checks.register(check_trusted_proxies, "imports", deploy=True)
        checks.register(check_database_log, checks.Tags.database, deploy=True)
        post_delete.connect(delete_remains, ImportJob, dispatch_uid="imports.delete_remains")
