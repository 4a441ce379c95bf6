"""Models that differ from Customer: UUID key, foreign keys, choices, column names with spaces."""

import uuid

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.validators import MaxValueValidator, MinLengthValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy


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


class Depot(models.Model):
    """A related record that has several names, and an owner."""

    code = models.CharField(max_length=10, unique=True)
    name = models.CharField(max_length=50)
    number = models.IntegerField(null=True, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)

    def __str__(self):
        return self.code


class Shelf(models.Model):
    """A record with choices, validators with messages of their own, and foreign keys."""

    class Size(models.IntegerChoices):
        SMALL = 1, _("Small one")
        LARGE = 2, _("Large one")

    class Material(models.TextChoices):
        WOOD = "wd", "Wood"
        STEEL = "st", "Stainless  steel"

    number = models.IntegerField(
        unique=True, validators=[MaxValueValidator(99, _("Shelves have numbers up to 99."))]
    )
    depot = models.ForeignKey(Depot, models.CASCADE, null=True, blank=True)
    customer = models.ForeignKey("customers.Customer", models.CASCADE, null=True, blank=True)
    size = models.IntegerField(choices=Size, default=Size.SMALL)
    material = models.CharField(
        max_length=2, blank=True, choices=[("Solid", Material.choices), ("", "not known")]
    )
    load = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)
    label = models.CharField(
        max_length=9,
        blank=True,
        validators=[
            RegexValidator("^[A-Z]", "Begin %(value)s with a capital letter.", "capital"),
            MinLengthValidator(
                3,
                ngettext_lazy(
                    "Write at least %(limit_value)d letter.",
                    "Write at least %(limit_value)d letters.",
                    "limit_value",
                ),
            ),
        ],
    )

    def __str__(self):
        return str(self.number)


class Team(models.Model):
    """A record that refers to customers through a many-to-many relation."""

    customers = models.ManyToManyField("customers.Customer", related_name="+")

    def __str__(self):
        return str(self.pk)


class Visit(models.Model):
    """A record that refers to a customer, without a constraint in the database."""

    customer = models.ForeignKey(
        "customers.Customer", models.DO_NOTHING, db_constraint=False, related_name="+"
    )

    def __str__(self):
        return str(self.pk)


class Remark(models.Model):
    """A record that refers to a record of any model, whose key is stored as text."""

    content_type = models.ForeignKey("contenttypes.ContentType", models.CASCADE)
    record_id = models.CharField(max_length=50)
    record = GenericForeignKey("content_type", "record_id")

    def __str__(self):
        return str(self.pk)


class Crate(models.Model):
    """A record with defaults, and a foreign key to a record of the same table."""

    code = models.CharField(max_length=10, unique=True)
    capacity = models.IntegerField(default=5)
    opened_at = models.DateTimeField(default=timezone.now)
    length = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)
    inside = models.ForeignKey("self", models.CASCADE, null=True, blank=True)

    def __str__(self):
        return self.code
