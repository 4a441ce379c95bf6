"""Customers in Django's admin. What is typed here obeys the same rules as a file."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError

from customers import rules
from customers.models import Customer
from imports.importer import Cell, Invalid

RULES: dict[str, Callable[[Cell], str | None]] = {
    "shipping_mark": rules.shipping_mark,
    "first_name": rules.name,
    "last_name": rules.name,
    "email": rules.email,
    "phone": rules.phone,
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
            except Invalid as invalid:
                words = rules.MESSAGES[invalid.code] % invalid.params
                self.add_error(field, ValidationError(words, invalid.code))


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    form = CustomerForm
    list_display = ("shipping_mark", "first_name", "last_name", "phone", "email", "created_at")
    search_fields = ("shipping_mark", "phone", "first_name", "last_name", "email")
    readonly_fields = ("created_at", "updated_at")
    show_full_result_count = False
