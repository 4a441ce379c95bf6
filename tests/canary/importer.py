"""An importer whose rules, hooks and receivers fail with an error that quotes the row."""

from django.dispatch import receiver
from django.utils.translation import get_language

from imports.importer import Column, Importer
from imports.signals import import_finished
from tests.canary import CANARY
from tests.parcels.models import Crate


def clean_length(cell):
    """Return a text that is no number, which PostgreSQL quotes when it rejects it."""
    return None if cell is None else str(cell)


def clean_capacity(cell):
    if cell == CANARY:
        raise RuntimeError(f"bug at {cell}")
    return None if cell is None else str(cell)


class QuotingImporter(Importer):
    name = "quoting"
    model = Crate
    columns = (
        Column("code", required=True),
        Column("capacity", clean=clean_capacity),
        Column("length", clean=clean_length),
    )

    @classmethod
    def label(cls, field):
        if get_language() == "fr":  # A bug that only a page in French meets.
            raise RuntimeError(f"bug at {CANARY}")
        return super().label(field)

    @classmethod
    def check_row(cls, values):
        if values["code"] == "rule":
            raise RuntimeError(f"bug at {CANARY}")

    @classmethod
    def after_batch(cls, ids, context):
        raise RuntimeError(f"bug at {CANARY}")

    @classmethod
    def after_import(cls, context):
        raise RuntimeError(f"bug at {CANARY}")


@receiver(import_finished)
def fail_and_quote(sender, job, **kwargs):
    if job.importer == QuotingImporter.name:
        raise RuntimeError(f"bug at {CANARY}")
