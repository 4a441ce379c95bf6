"""An app with an importer that kills its worker."""

from django.apps import AppConfig

from imports.importer import register


class DeadlyConfig(AppConfig):
    name = "tests.deadly"

    def ready(self) -> None:
        from tests.deadly.importer import DeadlyImporter

        register(DeadlyImporter)
