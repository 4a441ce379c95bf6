"""An app with a user model of its own. The settings `tests.settings_uuid_user` install it."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "tests.accounts"
