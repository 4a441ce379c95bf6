"""An importer without validators of its own: the model's fields validate the values."""

from django import forms
from django.dispatch import receiver

from imports.importer import Column, Importer, register
from imports.signals import import_finished, import_started
from tests.parcels.models import HookRecord, Parcel

after_batch_calls = []


class ParcelOptions(forms.Form):
    fee = forms.DecimalField(required=False, max_value=100)
    tags = forms.MultipleChoiceField(
        choices=[("a", "First"), ("b", "Second")],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )


@register
class ParcelImporter(Importer):
    name = "parcels"
    model = Parcel
    upload_form = ParcelOptions
    columns = (
        Column("customer", aliases=("mark",), required=True, lookup="shipping_mark"),
        Column("number", required=True),
        Column("weight", required=True),
        Column("sent_on", aliases=("date",)),
        Column("fragile"),
        Column("note"),
    )

    @classmethod
    def after_batch(cls, ids, context):
        after_batch_calls.append(sorted(ids))
        HookRecord.objects.create(hook="after_batch", import_id=context.import_id)

    @classmethod
    def after_import(cls, context):
        HookRecord.objects.create(hook="after_import", import_id=context.import_id)


@receiver([import_started, import_finished])
def record_signal(sender, signal, job, **kwargs):
    if job.importer == ParcelImporter.name:
        hook = "import_started" if signal is import_started else "import_finished"
        HookRecord.objects.create(hook=hook, import_id=job.pk)
