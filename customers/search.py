"""Search customers by their unique fields and their names."""

from __future__ import annotations

import re

import phonenumbers
from django.conf import settings
from django.db.models import Q, QuerySet

from customers import phones, validators
from customers.models import Customer
from imports.importer import InvalidValue

HAS_DIGIT_OR_AT = re.compile(r"[\d@]")
MIN_PHONE_DIGITS = 3
NOTHING = Q(pk__in=[])


def search_customers(customers: QuerySet[Customer], text: str) -> QuerySet[Customer]:
    """Return the customers whose mark, e-mail address, phone number or names begin with the text.

    A phone number may have any spelling. Each word is searched in both names, but not if the text
    has a digit or an @: then the indexes of the unique fields answer the query alone.
    """
    condition = _match_mark(text) | Q(email__startswith=text.strip().lower()) | _match_phone(text)
    if not HAS_DIGIT_OR_AT.search(text):
        condition |= _match_names(text)
    return customers.filter(condition)


def _match_mark(text: str) -> Q:
    try:
        return Q(shipping_mark__startswith=validators.clean_shipping_mark(text) or "")
    except InvalidValue:
        return NOTHING


def _match_phone(text: str) -> Q:
    """Match a whole number, or the beginning of a number with or without its prefix."""
    try:
        return Q(phone=validators.clean_phone(text))
    except InvalidValue:
        pass
    dialled = phones.extract_dialled_number(text.strip()) or ""
    digits = dialled.lstrip("+0")
    if len(digits) < MIN_PHONE_DIGITS:
        return NOTHING
    code = phonenumbers.country_code_for_region(settings.CUSTOMERS_PHONE_REGION)
    with_country_code = Q(phone__startswith=f"+{digits}")
    if dialled[0] == "+":
        return with_country_code
    return with_country_code | Q(phone__startswith=f"+{code}{digits}")


def _match_names(text: str) -> Q:
    condition = Q()
    for word in text.split():
        condition &= _has_word("first_name", word) | _has_word("last_name", word)
    return condition


def _has_word(field: str, text: str) -> Q:
    """Match a field in which a word begins with the text."""
    return Q(**{f"{field}__istartswith": text}) | Q(**{f"{field}__icontains": f" {text}"})
