"""The customers app: the model that the project imports."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CustomersConfig(AppConfig):
    name = "customers"
    verbose_name = _("Customers")

    def ready(self) -> None:
        from imports.error_codes import register_request_code

        message = "The list of customers is empty. Send at least one customer."
        register_request_code("empty_list", 400, message)
