"""Customers in Django's admin, each with the row it came from. What is typed here obeys the
same rules as a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from customers import validators
from customers.models import Customer
from imports import error_messages, permissions, provenance
from imports.importer import Cell, InvalidValue
from imports.models import ImportJob

RULES: dict[str, Callable[[Cell], str | None]] = {
    "shipping_mark": validators.clean_shipping_mark,
    "first_name": validators.clean_name,
    "last_name": validators.clean_name,
    "email": validators.clean_email,
    "phone": validators.clean_phone,
}


class CustomerForm(forms.ModelForm):
    """Brings each value into the one spelling it is stored in."""

    class Meta:
        model = Customer
        fields = tuple(RULES)

    def clean(self) -> None:
        super().clean()
        for field, rule in RULES.items():
            try:
                if field in self.cleaned_data:
                    self.cleaned_data[field] = rule(self.cleaned_data[field])
            except InvalidValue as invalid:
                words = error_messages.describe_row_error(
                    {"column": field, "code": invalid.code, "params": invalid.params}, "customers"
                )
                self.add_error(field, ValidationError(words, invalid.code))


class PageOfCustomers(ChangeList):
    """A page of the list, with the origin of each customer on it."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        self.model_admin.add_origins(request, self.result_list)


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    form = CustomerForm
    list_display = (
        *("shipping_mark", "first_name", "last_name", "phone", "email", "created_at", "came_from"),
    )
    search_fields = ("shipping_mark", "phone", "first_name", "last_name", "email")
    readonly_fields = ("created_at", "updated_at", "came_from")
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PageOfCustomers

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Customer | None:
        customer = super().get_object(request, object_id, from_field)
        self.add_origins(request, [customer] if customer else [])
        return customer

    def add_origins(self, request: HttpRequest, customers: Iterable[Customer]) -> None:
        """Give each its `origin`: the address and the words, if the reader may see the import."""
        visible = permissions.get_visible_imports(request.user)
        known = provenance.find_provenance(customers, visible)
        names = visible.filter(pk__in={origin.job_id for origin in known.values()})
        names = dict(names.values_list("pk", "file_name"))
        reviews = self.admin_site.get_model_admin(ImportJob).has_view_permission(request)
        for customer in customers:
            if (origin := known.get(customer.pk)) and origin.job_id in names:
                address = row_address(origin) if reviews else reverse("import", args=origin[:1])
                customer.origin = (address, names[origin.job_id], origin.row)

    @admin.display(description=_("imported from"))
    def came_from(self, customer: Customer) -> str | None:
        if not (origin := getattr(customer, "origin", None)):
            return None
        address, file_name, row = origin
        words = _("%(file)s, row %(row)s")
        words %= {"file": Truncator(file_name).chars(60), "row": intcomma(row)}
        return format_html('<a href="{}">{}</a>', address, words)


def row_address(origin: provenance.Provenance) -> str:
    """The page of the import's rows that begins with this one."""
    rows = reverse("admin:imports_importjob_rows", args=[origin.job_id])
    return f"{rows}?after={origin.row - 1}"
