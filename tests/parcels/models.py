"""A model that differs from Customer: UUID key, foreign key, column names with spaces."""

import uuid

from django.db import models


class Parcel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    customer = models.ForeignKey("customers.Customer", models.PROTECT)
    number = models.IntegerField()
    weight = models.DecimalField(max_digits=6, decimal_places=2, db_column="weight (kg)")
    sent_on = models.DateField(null=True)
    fragile = models.BooleanField(default=False)
    note = models.TextField(blank=True, db_column="the Note")
    state = models.CharField(max_length=10, default="new")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["customer", "number"], name="parcel_number_unique"),
            models.CheckConstraint(
                name="parcel_weighs_something", condition=models.Q(weight__gt=0)
            ),
        )

    def __str__(self):
        return str(self.number)


class HookRecord(models.Model):
    """A call of a hook, as hooks in other processes report it."""

    hook = models.CharField(max_length=20)
    import_id = models.UUIDField()

    def __str__(self):
        return self.hook
