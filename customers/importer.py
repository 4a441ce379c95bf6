"""How a file of customers becomes customers: the columns, and the rule for each."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from customers import rules
from customers.models import Customer
from imports.importer import Column, Importer, register


@register
class Customers(Importer):
    """Customers; a file without a header row is read in this order of columns."""

    name = "customers"
    model = Customer
    messages = rules.MESSAGES
    page = "customers"
    columns = (
        Column(
            "shipping_mark",
            aliases=(
                "mark",
                "ship mark",
                "shipping code",
                "customer code",
                "client code",
                "marque",
                "code client",
            ),
            required=True,
            unique=True,
            clean=rules.shipping_mark,
            example="ACC-AM 0412",
            note=_("What is written on the goods. Stored in capital letters with single spaces."),
        ),
        Column(
            "first_name",
            aliases=("given name", "forename", "first names", "prénom", "prénoms"),
            required=True,
            clean=rules.name,
            example="Ama",
            note=_("As it is spelled."),
        ),
        Column(
            "last_name",
            aliases=("surname", "family name", "second name", "nom", "nom de famille"),
            required=True,
            clean=rules.name,
            example="Mensah",
            note=_("As it is spelled."),
        ),
        Column(
            "email",
            aliases=(
                *("e-mail", "mail", "email address", "e-mail address", "email id", "courriel"),
                *("adresse e-mail", "adresse mail", "adresse électronique", "mél"),
            ),
            unique=True,
            clean=rules.email,
            example="ama.mensah@example.com",
            note=_("One address. Stored in small letters."),
        ),
        Column(
            "phone",
            aliases=(
                *("telephone", "tel", "tel no", "telephone no", "telephone number"),
                *("mobile", "mobile no", "mobile number", "mobile phone", "cell", "cell phone"),
                *("phone no", "phone number", "contact", "contact no", "contact number"),
                *("msisdn", "whatsapp", "whatsapp number", "téléphone", "numéro de téléphone"),
                *("téléphone portable", "portable", "gsm"),
            ),
            required=True,
            unique=True,
            clean=rules.phone,
            example="024 412 3456",
            note=_("One number, with or without the country code."),
        ),
    )
