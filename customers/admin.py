"""Customers in Django's admin. Each customer is shown with the row that last wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

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

# These classes of Django are generic only in its stubs.
if TYPE_CHECKING:
    CustomerModelForm = forms.ModelForm[Customer]
    CustomerModelAdmin = admin.ModelAdmin[Customer]
else:
    CustomerModelForm = forms.ModelForm
    CustomerModelAdmin = admin.ModelAdmin

CLEAN_FUNCTIONS: dict[str, Callable[[Cell], str | None]] = {
    "shipping_mark": validators.clean_shipping_mark,
    "first_name": validators.clean_name,
    "last_name": validators.clean_name,
    "email": validators.clean_email,
    "phone": validators.clean_phone,
}
MAX_FILE_NAME_CHARS = 60


class ProvenanceLink(NamedTuple):
    """The row that last wrote a customer, and where to see it."""

    url: str
    file_name: str
    row_number: int


class CustomerForm(CustomerModelForm):
    """A form that cleans its values with the rules for imported files."""

    class Meta:
        model = Customer
        fields = tuple(CLEAN_FUNCTIONS)

    def clean(self) -> None:
        super().clean()
        for field, clean in CLEAN_FUNCTIONS.items():
            try:
                if field in self.cleaned_data:
                    self.cleaned_data[field] = clean(self.cleaned_data[field])
            except InvalidValue as invalid:
                message = error_messages.describe_row_error(
                    {"field": field, "code": invalid.code, "params": invalid.params}, "customers"
                )
                self.add_error(field, ValidationError(message, invalid.code))


class CustomerChangeList(ChangeList):
    """A page of the list, with the provenance of each customer."""

    model_admin: CustomerAdmin

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        customers = list(self.result_list)
        self.result_list = customers
        self.model_admin.add_provenance(request, customers)


@admin.register(Customer)
class CustomerAdmin(CustomerModelAdmin):
    form = CustomerForm
    list_display = (
        "shipping_mark",
        "first_name",
        "last_name",
        "phone",
        "email",
        "created_at",
        "came_from",
    )
    search_fields = ("shipping_mark", "phone", "first_name", "last_name", "email")
    readonly_fields = ("created_at", "updated_at", "came_from")
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CustomerChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Customer | None:
        customer = super().get_object(request, object_id, from_field)
        self.add_provenance(request, [customer] if customer else [])
        return customer

    def add_provenance(self, request: HttpRequest, customers: Iterable[Customer]) -> None:
        """Set `provenance_link` of each customer that an import wrote which the user may see."""
        visible = permissions.get_visible_imports(request.user)
        provenance_by_key = provenance.find_provenance(customers, visible)
        jobs = visible.filter(
            pk__in={written_by.job_id for written_by in provenance_by_key.values()}
        )
        file_names = dict(jobs.values_list("pk", "file_name"))
        job_admin = self.admin_site.get_model_admin(ImportJob)
        can_view_in_admin = job_admin.has_view_permission(request)
        for customer in customers:
            written_by = provenance_by_key.get(customer.pk)
            if written_by and written_by.job_id in file_names:
                url = (
                    self._get_rows_url(written_by)
                    if can_view_in_admin
                    else reverse("imports:detail", args=[written_by.job_id])
                )
                link = ProvenanceLink(url, file_names[written_by.job_id], written_by.row)
                setattr(customer, "provenance_link", link)  # noqa: B010  Not a field of the model.

    def _get_rows_url(self, written_by: provenance.Provenance) -> str:
        """Return the address of the page of rows that begins with this row."""
        rows_url = reverse(
            "admin:imports_importjob_rows",
            args=[written_by.job_id],
            current_app=self.admin_site.name,
        )
        return f"{rows_url}?after={written_by.row - 1}"

    @admin.display(description=_("imported from"))
    def came_from(self, customer: Customer) -> str | None:
        """Return the link to the row; None if there is no import that the user may see."""
        link: ProvenanceLink | None = getattr(customer, "provenance_link", None)
        if link is None:
            return None
        text = str(_("%(file)s, row %(row)s")) % {
            "file": Truncator(link.file_name).chars(MAX_FILE_NAME_CHARS),
            "row": intcomma(link.row_number),
        }
        return format_html('<a href="{}">{}</a>', link.url, text)
