"""An app with an importer that kills its worker."""

from django.apps import AppConfig


class DeadlyConfig(AppConfig):
    name = "tests.deadly"

    def ready(self) -> None:
        from imports.importer import register
        from tests.deadly.importer import DeadlyImporter

        register(DeadlyImporter)
