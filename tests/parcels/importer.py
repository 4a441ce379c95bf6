"""An importer without validators of its own: the model's fields validate the values."""

from imports.importer import Column, Importer, register
from tests.parcels.models import Parcel

after_batch_calls = []


@register
class ParcelImporter(Importer):
    name = "parcels"
    model = Parcel
    columns = (
        Column("customer", aliases=("mark",), required=True, lookup="shipping_mark"),
        Column("number", required=True),
        Column("weight", required=True),
        Column("sent_on", aliases=("date",)),
        Column("fragile"),
        Column("note"),
    )

    @classmethod
    def after_batch(cls, ids):
        after_batch_calls.append(sorted(ids))
