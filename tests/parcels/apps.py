"""A second app that has its model filled from files."""

from django.apps import AppConfig


class ParcelsConfig(AppConfig):
    name = "tests.parcels"

    def ready(self) -> None:
        from tests.parcels import importer  # noqa: F401
