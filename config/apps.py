"""App configurations: the site itself, for its commands, and Django's admin with `SiteAdmin`."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class SiteConfig(AppConfig):
    name = "config"


class SiteAdminConfig(AdminConfig):
    default = False  # The default app of the package `config` is SiteConfig.
    default_site = "config.admin_site.SiteAdmin"
