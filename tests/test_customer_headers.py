"""Test headers of address books, shops and people, and the field of customers that each names."""

# ruff: noqa: RUF001

from __future__ import annotations

import pytest

from customers.importers import CustomerImporter
from imports.checks import list_importer_messages
from imports.pipeline.header_detection import get_header_names, match_columns, match_positions
from imports.pipeline.reader.headers import fold_text

HEADERS_BY_SOURCE = {
    "Google Contacts": {
        "first_name": ["First Name", "Given Name"],
        "last_name": ["Last Name", "Family Name"],
        "email": ["E-mail 1 - Value"],
        "phone": ["Phone 1 - Value"],
    },
    "Outlook": {
        "first_name": ["First Name"],
        "last_name": ["Last Name"],
        "email": ["E-mail Address"],
        "phone": ["Mobile Phone"],
    },
    "Thunderbird": {
        "first_name": ["First Name"],
        "last_name": ["Last Name"],
        "email": ["Primary Email"],
        "phone": ["Mobile Number"],
    },
    "Apple Contacts": {"phone": ["Phone (mobile)", "iPhone", "Mobile"], "email": ["E-mail"]},
    "HubSpot": {"email": ["Email"], "phone": ["Phone Number", "Mobile Phone Number"]},
    "Shopify": {"first_name": ["First Name"], "email": ["Email"], "phone": ["Phone"]},
    "WooCommerce": {
        "first_name": ["billing_first_name", "First Name (Billing)", "Billing First Name"],
        "last_name": ["billing_last_name", "Last Name (Billing)"],
        "email": ["billing_email", "user_email", "Email (Billing)"],
        "phone": ["billing_phone", "Phone (Billing)"],
    },
    "Mailchimp": {
        "first_name": ["First Name", "FNAME"],
        "last_name": ["Last Name", "LNAME"],
        "email": ["Email Address"],
        "phone": ["Phone Number", "PHONE"],
    },
    "QuickBooks": {"email": ["Main Email", "Email"], "phone": ["Mobile", "Phone Numbers"]},
    "Xero": {
        "first_name": ["FirstName"],
        "last_name": ["LastName"],
        "email": ["EmailAddress"],
        "phone": ["PhoneNumber", "MobileNumber"],
    },
    "English": {
        "shipping_mark": [
            "Shipping Mark",
            "MARK",
            "Ship mark",
            "Customer code",
            "Client Code",
            "Customer No.",
            "Customer Number",
            "Shipping code",
            "Cargo mark",
        ],
        "first_name": ["Forename", "Given names", "First names"],
        "last_name": ["Surname", "Family name"],
        "email": ["E-Mail", "Mail", "email id"],
        "phone": ["Tel.", "Telephone No", "Cell", "Contact", "WhatsApp", "MSISDN", "Tel #"],
    },
    "French": {
        "shipping_mark": ["Marque", "Code client", "N° client", "Numéro de client"],
        "first_name": ["Prénom", "Prénoms", "PRENOM"],
        "last_name": ["Nom", "Nom de famille"],
        "email": ["Courriel", "Adresse e-mail", "Adresse électronique", "Mél"],
        "phone": ["Téléphone", "Tél.", "N° de téléphone", "Téléphone portable", "GSM"],
    },
    "Spanish": {
        "shipping_mark": ["Código de cliente", "Número de cliente"],
        "first_name": ["Nombre", "Nombres"],
        "last_name": ["Apellido", "Apellidos"],
        "email": ["Correo electrónico", "Correo"],
        "phone": ["Teléfono", "Móvil", "Celular", "Número de teléfono"],
    },
    "Portuguese": {
        "shipping_mark": ["Código do cliente"],
        "first_name": ["Nome", "Primeiro nome"],
        "last_name": ["Sobrenome", "Último nome"],
        "email": ["Endereço de e-mail", "Correio eletrônico"],
        "phone": ["Telefone", "Telemóvel", "Celular"],
    },
    "Italian": {
        "shipping_mark": ["Codice cliente"],
        "first_name": ["Nome"],
        "last_name": ["Cognome"],
        "email": ["Indirizzo e-mail", "Posta elettronica"],
        "phone": ["Telefono", "Cellulare", "Numero di telefono"],
    },
    "German": {
        "shipping_mark": ["Kundennummer", "Kunden-Nr.", "Kundencode"],
        "first_name": ["Vorname"],
        "last_name": ["Nachname", "Familienname"],
        "email": ["E-Mail-Adresse", "Mailadresse"],
        "phone": ["Telefonnummer", "Rufnummer", "Handy", "Mobilnummer", "Tel.-Nr."],
    },
    "Dutch": {
        "shipping_mark": ["Klantnummer"],
        "first_name": ["Voornaam"],
        "last_name": ["Achternaam"],
        "email": ["E-mailadres"],
        "phone": ["Telefoonnummer", "Mobiel", "GSM-nummer"],
    },
    "Polish": {
        "shipping_mark": ["Numer klienta"],
        "first_name": ["Imię"],
        "last_name": ["Nazwisko"],
        "email": ["Adres e-mail"],
        "phone": ["Telefon", "Numer telefonu", "Telefon komórkowy"],
    },
    "Turkish": {
        "shipping_mark": ["Müşteri No", "Müşteri kodu"],
        "first_name": ["Ad", "Adı"],
        "last_name": ["Soyad", "Soyadı"],
        "email": ["E-posta", "E-posta adresi"],
        "phone": ["Cep telefonu", "Telefon numarası"],
    },
    "Chinese": {
        "shipping_mark": ["唛头", "客户编号"],
        "first_name": ["名"],
        "last_name": ["姓"],
        "email": ["邮箱", "电子邮件"],
        "phone": ["电话", "手机", "手机号码", "联系电话"],
    },
    "Russian": {
        "first_name": ["Имя"],
        "last_name": ["Фамилия"],
        "email": ["Электронная почта"],
        "phone": ["Телефон", "Номер телефона"],
    },
    "Arabic": {
        "first_name": ["الاسم الأول"],
        "last_name": ["اسم العائلة"],
        "email": ["البريد الإلكتروني"],
        "phone": ["رقم الهاتف", "الجوال"],
    },
}
# Used only in rows in which the main column is empty.
FALLBACK_HEADERS = {
    "email": [
        "E-mail 2 - Value",
        "E-mail 3 - Value",
        "E-mail 2 Address",
        "E-mail 3 Address",
        "Email 2",
        "Email Address 2",
        "Secondary Email",
        "Work Email",
        "Home Email",
        "Additional email addresses",
        "Other Email",
        "CC Email",
    ],
    "phone": [
        "Phone 2 - Value",
        "Phone 3 - Value",
        "Phone 2",
        "Telephone 2",
        "Mobile 2",
        "Tel 3",
        "Home Phone",
        "Business Phone",
        "Work Phone",
        "Other Phone",
        "Primary Phone",
        "Home Phone 2",
        "Business Phone 2",
        "Company Main Phone",
        "Car Phone",
        "Alt. Phone",
        "Default Address Phone",
        "Shipping Phone",
        "Office phone",
        "Landline",
        "Téléphone fixe",
        "Festnetz",
        "Teléfono fijo",
        "固定电话",
    ],
}
UNKNOWN_HEADERS = [
    "Name",
    "Full Name",
    "Display Name",
    "Customer",
    "姓名",
    "Middle Name",
    "Additional Name",
    "E-mail 1 - Label",
    "Phone 1 - Label",
    "E-mail Type",
    "Business Fax",
    "Fax",
    "Labels",
    "Company",
    "Organization Name",
    "Notes",
    "Customer ID",
    "Record ID",
    "CEP",
    "Nickname",
    "Naam",
    "User 1",
    "Address",
    "Home",
    "Accepts Email Marketing",
    "Total Spent",
    "Apelido",
]

CASES = [
    (header, field)
    for fields in HEADERS_BY_SOURCE.values()
    for field, headers in fields.items()
    for header in headers
]


@pytest.mark.parametrize(("header", "field"), CASES)
def test_a_header_names_its_field(header, field):
    assert match_positions([header], CustomerImporter) == {field: 0}


def test_more_than_a_hundred_headers_are_tested():
    assert len({fold_text(header) for header, _ in CASES}) > 100


@pytest.mark.parametrize(
    ("header", "field"),
    [(header, field) for field in FALLBACK_HEADERS for header in FALLBACK_HEADERS[field]],
)
def test_a_fallback_header_is_a_fallback_alias(header, field):
    column = next(column for column in CustomerImporter.columns if column.field == field)

    assert fold_text(header) in set(map(fold_text, column.fallback_aliases))
    assert match_positions([header], CustomerImporter) == {field: 0}
    assert match_columns([header, field], CustomerImporter).get_columns(field) == [1, 0]


@pytest.mark.parametrize("header", UNKNOWN_HEADERS)
def test_an_ambiguous_or_unknown_header_names_no_field(header):
    assert match_positions([header], CustomerImporter) == {}
    for column in CustomerImporter.columns:
        assert fold_text(header) not in set(map(fold_text, column.fallback_aliases))


def test_no_header_names_two_fields():
    assert list_importer_messages(CustomerImporter) == []
    fallbacks = []
    for column in CustomerImporter.columns:
        own, aliases = get_header_names(column, CustomerImporter)
        further = set(map(fold_text, column.fallback_aliases))
        assert not further & (own | aliases), column.field
        fallbacks += [*further, *own, *aliases]
    assert len(fallbacks) == len(set(fallbacks))


@pytest.mark.parametrize(
    "headers",
    [
        ["First Name", "Middle Name", "Last Name", "Labels", "E-mail 1 - Label", "E-mail 1 - Value",
         "E-mail 2 - Value", "Phone 1 - Label", "Phone 1 - Value", "Shipping mark"],
        ["Title", "First Name", "Middle Name", "Last Name", "Suffix", "Company", "Business Phone",
         "Home Phone", "Mobile Phone", "E-mail Address", "E-mail Type", "Marque"],
        ["First Name", "Last Name", "Display Name", "Primary Email", "Secondary Email",
         "Work Phone", "Home Phone", "Fax Number", "Pager Number", "Mobile Number", "Mark"],
        ["Vorname", "Nachname", "E-Mail", "Telefonnummer", "Kundennummer"],
        ["名", "姓", "邮箱", "手机", "唛头"],
    ],
)  # fmt: skip
def test_typical_files_have_a_column_for_every_field(headers):
    assert match_positions(headers, CustomerImporter).keys() == {
        column.field for column in CustomerImporter.columns
    }
