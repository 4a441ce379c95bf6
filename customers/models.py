"""A customer of the logistics company."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Customer(models.Model):
    """Someone whose goods are shipped under a mark of their own.

    Values are stored in one spelling only (see `customers.validators`), so that equal means equal.
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
        # Not unique=True: on text that costs a second index, and a fifth of COPY's speed. With
        # this operator class the one index also finds what begins so, in any collation.
        constraints = tuple(
            models.UniqueConstraint(
                fields=[field], name=f"customer_{field}_unique", opclasses=["varchar_pattern_ops"]
            )
            for field in ("shipping_mark", "email", "phone")
        )

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name} ({self.shipping_mark})"
