"""The rule for e-mail addresses: a cell has one address, which is stored in one spelling."""

from __future__ import annotations

import idna
import pytest
from django.core.validators import validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from customers import validators
from imports.importer import InvalidValue
from tests.test_customer_validators import (
    EMAIL_LIKE_TEXTS,
    clean_error,
    clean_or_error,
    clean_without_patterns,
)


@pytest.mark.parametrize(
    ("cell", "email"),
    [
        ("Ama.Mensah+1@Gmail.COM", "ama.mensah+1@gmail.com"),
        (" ama@example.com\u00a0", "ama@example.com"),
        ("\u200bama@example.com\u200d", "ama@example.com"),
        ("o'brien@example.co.uk", "o'brien@example.co.uk"),
        ("ama@EXÄMPLE.com", "ama@exämple.com"),
        ("ama@[127.0.0.1]", "ama@[127.0.0.1]"),
        ("mailto:ama@[127.0.0.1]", "ama@[127.0.0.1]"),
        ("ama+tag@mail.example.co.uk", "ama+tag@mail.example.co.uk"),
        ("ama@J\u030c.com", "ama@\u01f0.com"),  # The capital letter has no composed form.
    ],
)
def test_address_is_lower_case(cell, email):
    assert validators.clean_email(cell) == email


@pytest.mark.parametrize(
    "cell",
    [
        "ama@example.com,",
        "ama@example.com ;",
        "ama@example.com.",
        "<ama@example.com>",
        "mailto:ama@example.com",
        "MAILTO: Ama@example.com",
        "<mailto:ama@example.com>",
        "Ama Mensah <ama@example.com>",
        '"Mensah, Ama" <Ama@Example.com>;',
        "ama@example.com:",
        "ama@example.com/",
        "ama@example.com>",
        "<ama@example.com",
        "ama@example.com!",
        "ama@example.com?",
        "ama@example.com\\",
        "ama@example.com |",
        "(ama@example.com)",
        "[ama@example.com]",
        "'ama@example.com'",
        '"ama@example.com"',
        "\u201cama@example.com\u201d",
        "\u00abama@example.com\u00bb",
        "«\u00a0ama@example.com »",
        "mailto: ama@example.com",
        "mailto://ama@example.com",
        "mailto:ama%40example.com",
        "mailto:ama@example.com?subject=Hello%20there",
        "mailto:ama@example.com?cc=kofi@x.com",
        "Ama Mensah (ama@example.com)",
        "Ama Mensah [ama@example.com]",
        "Ama Mensah [mailto:ama@example.com]",
        "ama@example.com (Ama Mensah)",
        "ama@example.com (work)",
        "E-mail: ama@example.com",
        "Email address: ama@example.com",
        "email:ama@example.com",
        "Mail : ama@example.com",
        "courriel : ama@example.com",
        "邮箱\uff1aama@example.com",
        "Work email: Ama@Example.com",
        "ama@example.com <ama@example.com>",
        "ama@example.com, ama@example.com",
        "ama@example.com; AMA@example.com",
        "ama@example.com <mailto:ama@example.com>",
        "ama\uff20example.com",
        "ama@example\u3002com",
        "\uff41\uff4d\uff41@example\uff0ecom",
        "ama\u200b@example.com",
        "ama@exa\u00admple.com",
        "\u202aama@example.com\u202c",
        "\ufeffama@example.com",
        "ama@ex\ufe0fample.com",
        "AMA@EXAMPLE.COM",
        "\tama@example.com\n",
    ],
)
def test_text_around_an_address_is_removed(cell):
    assert validators.clean_email(cell) == "ama@example.com"


@pytest.mark.parametrize(
    ("cell", "email"),
    [
        ("ama@XN--exmple-cua.com", "ama@exämple.com"),
        ("ama@mail.xn--80ak6aa92e.com", "ama@mail.\u0430\u0440\u0440\u04cf\u0435.com"),
        ("ama@example.xn--p1ai", "ama@example.рф"),
        ("ama@xn--ls8h.com", "ama@xn--ls8h.com"),  # An emoji: today's rules for domains forbid it.
        ("ama@xn--strae-oqa.de", "ama@straße.de"),
        ("ama@strasse.de", "ama@strasse.de"),
        # Gothic letters, which Django's validator does not accept.
        ("ama@xn--ec8cc.com", "ama@xn--ec8cc.com"),
    ],
)
def test_domain_has_one_spelling(cell, email):
    assert clean_or_error(validators.clean_email, cell) == email
    assert clean_or_error(validators.clean_email, email) == email


@given(host=st.text("aäéßçñ字пждл-0", min_size=1, max_size=12))
def test_both_spellings_of_a_domain_are_one_address(host):
    try:
        encoded = idna.encode(f"{host}.com").decode()
    except idna.IDNAError:
        return
    assert clean_or_error(validators.clean_email, f"ama@{encoded}") == clean_or_error(
        validators.clean_email, f"ama@{host}.com"
    )


@pytest.mark.parametrize(
    ("code", "cells"),
    [
        (
            "email_without_at",
            [
                "ama",
                12,
                "mailto:",
                "ama.example.com",
                "ama at example.com",
                ",",
                "ama at example dot com",
                "ama(at)example.com",
                "ama[at]example[dot]com",
                "n/a",
                "-",
                "0244123456",
                "www.example.com",
                "Write to Yaa",
                "E-mail:",
            ],
        ),
        (
            "email_without_domain",
            [
                "ama@",
                "ama@example",
                "ama@-example.com",
                "ama@example..com",
                "ama@example,com",
                "ama@example.c",
                "ama@127.0.0.1",
            ],
        ),
        (
            "email_with_space",
            [
                "a b@example.com",
                "ama @example.com",
                "ama@ example.com",
                "ama@example. com",
                "ama mensah ama@example.com",
                "ama@example.com call first",
            ],
        ),
        (
            "several_emails",
            [
                "ama@example.com, kofi@example.com",
                "ama@example.com;kofi@example.com",
                "ama@example.com\nkofi@example.com",
                "ama@x.com or kofi@x.com",
                "a@x.com/b@x.com",
                "kofi@example.com <ama@example.com>",
                "ama@example.com, kofi@",
                "ama@example.com ::: kofi@example.com",
                "ama@example.com kofi@example.com",
                "mailto:ama@example.com,kofi@example.com",
                "ama@x.com <mailto:kofi@x.com>",
            ],
        ),
        (
            "invalid_email",
            ["@example.com", "ama@@example.com", "ama.@example.com", "áma@x.com", "a..b@x.com"],
        ),
    ],
)
def test_invalid_address_has_a_code(code, cells):
    assert [clean_or_error(validators.clean_email, cell) for cell in cells] == [(code, {})] * len(
        cells
    )


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("josÃ©@example.com", "garbled_text"),
        ("mailto:jos%C3%83%C2%A9@example.com", "garbled_text"),
        ("mailto:ama@%EF%BF%BD.com", "damaged_characters"),
        ("mailto:ama%00@example.com", "forbidden_character"),
        ("ama\ufffd@example.com", "damaged_characters"),
        ("mailto:" + "a" * 300 + "@example.com", "too_long"),
    ],
)
def test_address_follows_the_rules_for_text(cell, code):
    assert clean_error(validators.clean_email, cell)[0] == code


def test_error_does_not_quote_the_address():
    with pytest.raises(InvalidValue) as error_info:
        validators.clean_email("ama.@example.com")
    assert "ama" not in str(error_info.value) + str(error_info.value.params)
    assert error_info.value.__context__ is None


def test_address_has_at_most_254_characters():
    host = "@" + ".".join(["b" * 60] * 3) + ".com"
    address = "a" * (254 - len(host)) + host
    assert validators.clean_email(address.upper()) == address
    assert clean_error(validators.clean_email, "a" + address) == ("too_long", {"limit": 254})


@given(
    cell=st.one_of(
        st.emails(), EMAIL_LIKE_TEXTS, st.from_regex(validators.SIMPLE_EMAIL, fullmatch=True)
    )
)
@example("a@" + "b" * 63 + ".com")
@example("a@" + "b" * 64 + ".com")
@example("a@xn--exmple-cua.com")
@example("'-@b.com")
@example("=@b.com")
def test_simple_pattern_agrees_with_the_full_rule_for_addresses(cell):
    assert clean_or_error(validators.clean_email, cell) == clean_or_error(
        lambda text: clean_without_patterns(validators.clean_email, text), cell
    )
    if len(cell) <= validators.MAX_EMAIL_CHARS and validators.SIMPLE_EMAIL.fullmatch(cell):
        validate_email(cell.lower())
