"""A second app that registers an importer."""

from django.apps import AppConfig


class ParcelsConfig(AppConfig):
    name = "tests.parcels"

    def ready(self) -> None:
        from tests.parcels import importer  # noqa: F401
