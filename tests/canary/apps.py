"""An app with an importer whose errors quote its rows."""

from django.apps import AppConfig


class CanaryConfig(AppConfig):
    name = "tests.canary"

    def ready(self) -> None:
        from imports.importer import register
        from tests.canary.importer import QuotingImporter

        register(QuotingImporter)
