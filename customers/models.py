"""The customers of the logistics company."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Customer(models.Model):
    """A person whose goods are shipped under a mark of their own.

    `customers.validators` cleans the values, so two spellings of one value are stored as one.
    """

    shipping_mark = models.CharField(_("shipping mark"), max_length=50)
    first_name = models.CharField(_("first name"), max_length=100)
    last_name = models.CharField(_("last name"), max_length=100)
    email = models.EmailField(_("e-mail"), null=True, blank=True)
    phone = models.CharField(_("phone"), max_length=20)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        # Not unique=True, which creates a second index for text and slows COPY by a fifth. With
        # this operator class, one index also serves LIKE 'prefix%' in every collation.
        constraints = tuple(
            models.UniqueConstraint(
                fields=[field], name=f"customer_{field}_unique", opclasses=["varchar_pattern_ops"]
            )
            for field in ("shipping_mark", "email", "phone")
        )

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name} ({self.shipping_mark})"
