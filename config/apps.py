"""The apps of the site: its commands, and Django's admin with the admin site of this project."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class SiteConfig(AppConfig):
    name = "config"


class SiteAdminConfig(AdminConfig):
    default = False  # Of the package `config`, SiteConfig is the app.
    default_site = "config.admin_site.SiteAdmin"
