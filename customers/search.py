"""Finding customers by what someone remembers of them."""

from __future__ import annotations

import re

import phonenumbers
from django.conf import settings
from django.db.models import Q, QuerySet

from customers import phones, validators
from customers.models import Customer
from imports.importer import InvalidValue

LIKE_A_KEY = re.compile(r"[\d@]")
FEWEST_DIGITS = 3


def search_customers(customers: QuerySet[Customer], text: str) -> QuerySet[Customer]:
    """Those whose shipping mark, e-mail, phone or names begin as the text does.

    A phone number may be in any spelling; each word of a name is looked for in both names.
    What holds a digit or an @ is no name: the unique keys' own indexes answer that.
    """
    wanted = by_mark(text) | Q(email__startswith=text.strip().lower()) | by_phone(text)
    return customers.filter(wanted if LIKE_A_KEY.search(text) else wanted | by_name(text))


def by_mark(text: str) -> Q:
    try:
        return Q(shipping_mark__startswith=validators.clean_shipping_mark(text) or "")
    except InvalidValue:
        return Q(pk__in=[])


def by_phone(text: str) -> Q:
    """The number itself, or the beginning of one, with or without what stands before it."""
    try:
        return Q(phone=validators.clean_phone(text))
    except InvalidValue:
        pass
    spelled = phones.extract_dialled_number(text.strip()) or ""
    digits = spelled.lstrip("+0")
    if len(digits) < FEWEST_DIGITS:
        return Q(pk__in=[])
    code = phonenumbers.country_code_for_region(settings.CUSTOMERS_PHONE_REGION)
    abroad = Q(phone__startswith=f"+{digits}")
    return abroad if spelled[0] == "+" else abroad | Q(phone__startswith=f"+{code}{digits}")


def by_name(text: str) -> Q:
    found = Q()
    for word in text.split():
        found &= has_word("first_name", word) | has_word("last_name", word)
    return found


def has_word(name: str, word: str) -> Q:
    """Whether a word of the name begins so."""
    return Q(**{f"{name}__istartswith": word}) | Q(**{f"{name}__icontains": f" {word}"})
