"""How a file becomes customers: its columns, their headers, and the rule for each."""

# ruff: noqa: RUF001  Turkish headers have a letter that looks like an i.

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from customers import validators
from customers.models import Customer
from imports.importer import Column, Importer, register


def _add_header_numbers(*names: str) -> tuple[str, ...]:
    """Return the names with numbers from 2, as in "Phone 2" and "Phone 2 - Value"."""
    return tuple(
        f"{name} {number}{suffix}"
        for number in range(2, MAX_HEADER_NUMBER + 1)
        for name in names
        for suffix in ("", " - value")
    )


MAX_HEADER_NUMBER = 5

# Headers in more than ten languages, and those of Google Contacts, Outlook, Thunderbird, Apple
# Contacts, HubSpot, Shopify, WooCommerce, Mailchimp, QuickBooks and Xero. An ambiguous header is in
# no list: "Name" may mean both names. "Nom" is a last name, but "Nome" is a first name.
MARK_HEADERS = (
    "mark", "ship mark", "shipping code", "cargo mark", "shipper mark",
    "customer code", "client code", "customer number", "customer no", "client number",
    "client no", "customer mark", "client mark", "shipping mark no", "shipping mark number",
    "marque", "marque d'expédition", "code client", "numéro client", "numéro de client",
    "n° client", "référence client",
    "Kundennummer", "Kunden-Nr.", "Kd.-Nr.", "Kundencode", "Kundenkürzel", "Versandmarkierung",
    "código de cliente", "código cliente", "número de cliente", "nº de cliente", "n.º cliente",
    "código do cliente", "número do cliente",
    "codice cliente", "numero cliente", "klantnummer", "klantcode", "klantnr",
    "numer klienta", "kod klienta", "müşteri no", "müşteri numarası", "müşteri kodu",
    "код клиента", "номер клиента", "رقم العميل", "كود العميل",
    "客户编号", "客户代码", "客户编码", "唛头", "嘜頭",
)  # fmt: skip
FIRST_NAME_HEADERS = (
    "given name", "given names", "forename", "forenames", "first names", "fname", "firstname",
    "contact first name", "customer first name", "billing first name", "first name (billing)",
    "prénom", "prénoms", "Vorname", "Vornamen", "Rufname",
    "nombre", "nombres", "nombre de pila", "primer nombre", "primeiro nome", "nome", "nomes",
    "nome próprio", "voornaam", "voornamen", "imię", "imiona", "ad", "adı", "adi", "ilk ad",
    "имя", "الاسم الأول", "名",
)  # fmt: skip
LAST_NAME_HEADERS = (
    "surname", "family name", "second name", "lname", "last names", "surnames",
    "contact last name", "customer last name", "billing last name", "last name (billing)",
    "nom", "nom de famille", "noms", "Nachname", "Familienname", "Zuname",
    "apellido", "apellidos", "primer apellido", "apellido paterno", "sobrenome", "sobrenomes",
    "último nome", "nome de família", "cognome", "cognomi", "achternaam", "familienaam",
    "nazwisko", "soyad", "soyadı", "soyadi", "soy isim", "фамилия", "اسم العائلة", "姓",
)  # fmt: skip
EMAIL_HEADERS = (
    "e-mail", "mail", "email address", "e-mail address", "email id", "mail id",
    "primary email", "primary email address", "main email", "user email", "customer email",
    "contact email", "billing email", "email (billing)", "email 1", "email 1 - value",
    "email address 1", "email 1 address",
    "courriel", "adresse courriel", "adresse e-mail", "adresse mail", "adresse électronique",
    "mél", "E-Mail-Adresse", "Mailadresse", "correo", "correo electrónico",
    "dirección de correo", "dirección de correo electrónico", "dirección de email",
    "correio eletrônico", "endereço de e-mail",
    "posta elettronica", "indirizzo e-mail", "indirizzo di posta elettronica",
    "e-mailadres", "mailadres", "adres e-mail", "e-posta", "e-posta adresi",
    "эл. почта", "электронная почта", "адрес электронной почты", "البريد الإلكتروني",
    "邮箱", "电子邮箱", "电子邮件", "电子邮件地址", "電子郵件", "メールアドレス",
)  # fmt: skip
FURTHER_EMAIL_HEADERS = (
    "secondary email", "second email", "alternate email", "alternative email", "other email",
    "additional email", "additional email addresses", "home email", "work email",
    "business email", "personal email", "private email", "cc email", "email 2 address",
    "email 3 address", "shipping email", "email (shipping)", "account email",
    "autre e-mail", "e-mail secondaire", "weitere E-Mail", "E-Mail privat",
    "E-Mail geschäftlich", "otro correo", "outro e-mail",
    *_add_header_numbers("email", "email address"),
)  # fmt: skip
PHONE_HEADERS = (
    "telephone", "tel", "tel no", "telephone no", "telephone number", "tel number", "tel nr",
    "mobile", "mobile no", "mobile number", "mobile phone", "mobile phone number", "mob",
    "mobile telephone", "cell", "cell phone", "cell number", "cell phone number",
    "phone no", "phone number", "phone numbers", "contact", "contact no", "contact number",
    "contact phone", "customer phone", "phone (mobile)", "iphone",
    "msisdn", "whatsapp", "whatsapp number", "whatsapp no", "billing phone", "phone (billing)",
    "phone 1", "phone 1 - value", "phone number 1", "telephone 1", "mobile 1", "tel 1",
    "téléphone", "numéro de téléphone", "n° de téléphone", "n° tél", "téléphone mobile",
    "tél mobile", "téléphone portable", "tél portable", "portable", "numéro de portable",
    "mobile (tél)", "gsm", "numéro gsm",
    "Telefon", "Telefonnummer", "Telefon-Nr.", "Rufnummer", "Handy", "Handynummer",
    "Handy-Nr.", "Mobil", "Mobiltelefon", "Mobilnummer", "Mobilfunknummer", "Natel",
    "teléfono", "teléfono móvil", "número de teléfono", "nº de teléfono", "móvil",
    "número de móvil", "celular", "teléfono celular", "número de celular",
    "telefone", "telemóvel", "telefone celular", "número de telefone", "telefone móvel",
    "cellulare", "numero di telefono", "numero cellulare", "telefono cellulare",
    "telefoon", "telefoonnummer", "mobiel", "mobiel nummer", "mobiele telefoon", "gsm-nummer",
    "numer telefonu", "nr telefonu", "nr tel", "komórka", "telefon komórkowy",
    "telefon numarası", "telefon no", "cep telefonu", "gsm no", "cep tel",
    "телефон", "номер телефона", "мобильный", "мобильный телефон", "тел",
    "الهاتف", "رقم الهاتف", "الجوال", "رقم الجوال", "الموبايل", "رقم الموبايل",
    "电话", "电话号码", "手机", "手机号", "手机号码", "联系电话", "電話", "電話號碼", "手機",
    "手機號碼", "電話番号", "携帯電話",
)  # fmt: skip
FURTHER_PHONE_HEADERS = (
    "home phone", "home telephone", "home number", "phone (home)", "business phone",
    "business telephone", "work phone", "work telephone", "work number", "phone (work)",
    "office phone", "office number", "office tel", "primary phone", "main phone", "other phone",
    "alternate phone", "alternative phone", "alt phone", "secondary phone", "second phone",
    "company main phone", "company phone", "car phone", "landline", "radio phone",
    "default address phone", "shipping phone", "phone (shipping)", "assistant's phone",
    "téléphone fixe", "tél fixe", "fixe", "téléphone domicile", "téléphone professionnel",
    "téléphone bureau", "tél bureau", "Telefon privat", "Telefon geschäftlich", "Festnetz",
    "Festnetznummer", "teléfono fijo", "teléfono casa", "teléfono trabajo", "telefone fixo",
    "telefone residencial", "telefone comercial", "telefono fisso", "telefono casa",
    "telefono ufficio", "vaste telefoon", "telefoon thuis", "telefoon werk",
    "telefon stacjonarny", "telefon domowy", "ev telefonu", "iş telefonu",
    "домашний телефон", "рабочий телефон", "固定电话", "座机", "家庭电话", "办公电话",
    *_add_header_numbers("phone", "telephone", "phone number", "mobile", "tel", "mobile number"),
    *_add_header_numbers("home phone", "business phone", "work phone", "contact", "contact number"),
)  # fmt: skip


@register
class CustomerImporter(Importer):
    """The importer of customers. A file without a header row has its columns in this order."""

    name = "customers"
    model = Customer
    messages = validators.MESSAGES
    page = "customers"
    columns = (
        Column(
            "shipping_mark",
            aliases=MARK_HEADERS,
            required=True,
            unique=True,
            clean=validators.clean_shipping_mark,
            example="ACC-AM 0412",
            note=_(
                "The mark written on the goods. It is stored in capital letters with single spaces."
            ),
        ),
        Column(
            "first_name",
            aliases=FIRST_NAME_HEADERS,
            required=True,
            clean=validators.clean_name,
            example="Ama",
            note=_("The name as the customer writes it."),
        ),
        Column(
            "last_name",
            aliases=LAST_NAME_HEADERS,
            required=True,
            clean=validators.clean_name,
            example="Mensah",
            note=_("The name as the customer writes it."),
        ),
        Column(
            "email",
            aliases=EMAIL_HEADERS,
            fallback_aliases=FURTHER_EMAIL_HEADERS,
            unique=True,
            clean=validators.clean_email,
            example="ama.mensah@example.com",
            note=_("One e-mail address. It is stored in lowercase letters."),
        ),
        Column(
            "phone",
            aliases=PHONE_HEADERS,
            fallback_aliases=FURTHER_PHONE_HEADERS,
            required=True,
            unique=True,
            clean=validators.clean_phone,
            example="024 412 3456",
            note=_("One phone number, with or without the country code."),
        ),
    )
