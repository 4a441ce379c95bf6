"""The rule for e-mail addresses: one address alone, in one spelling."""

from __future__ import annotations

import idna
import pytest
from django.core.validators import validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from customers import rules
from imports.importer import Invalid
from tests.test_rules import MAILISH, long_way, outcome, refusal


@pytest.mark.parametrize(
    ("cell", "email"),
    [
        ("Ama.Mensah+1@Gmail.COM", "ama.mensah+1@gmail.com"),
        (" ama@example.com\u00a0", "ama@example.com"),
        ("\u200bama@example.com\u200d", "ama@example.com"),
        ("o'brien@example.co.uk", "o'brien@example.co.uk"),
        ("ama@EXÄMPLE.com", "ama@exämple.com"),
        ("ama@J\u030c.com", "ama@\u01f0.com"),  # Only the small letter has a form of its own.
    ],
)
def test_an_address_is_lower_case(cell, email):
    assert rules.email(cell) == email


@pytest.mark.parametrize(
    "cell",
    [
        *("ama@example.com,", "ama@example.com ;", "ama@example.com.", "<ama@example.com>"),
        *("mailto:ama@example.com", "MAILTO: Ama@example.com", "<mailto:ama@example.com>"),
        *("Ama Mensah <ama@example.com>", '"Mensah, Ama" <Ama@Example.com>;'),
    ],
)
def test_what_programs_put_around_an_address_is_no_part_of_it(cell):
    assert rules.email(cell) == "ama@example.com"


@pytest.mark.parametrize(
    ("cell", "email"),
    [
        ("ama@XN--exmple-cua.com", "ama@exämple.com"),
        ("ama@mail.xn--80ak6aa92e.com", "ama@mail.\u0430\u0440\u0440\u04cf\u0435.com"),
        ("ama@example.xn--p1ai", "ama@example.рф"),
        ("ama@xn--ls8h.com", "ama@xn--ls8h.com"),  # An emoji: no domain by today's rules.
        ("ama@xn--strae-oqa.de", "ama@straße.de"),
        ("ama@strasse.de", "ama@strasse.de"),
        # Gothic letters, which the validator of addresses does not know.
        ("ama@xn--ec8cc.com", "ama@xn--ec8cc.com"),
    ],
)
def test_a_domain_has_one_spelling(cell, email):
    assert outcome(rules.email, cell) == email
    assert outcome(rules.email, email) == email


@given(host=st.text("aäéßçñ字пждл-0", min_size=1, max_size=12))
def test_a_domain_in_both_its_spellings_is_one_address(host):
    try:
        encoded = idna.encode(f"{host}.com").decode()
    except idna.IDNAError:
        return
    assert outcome(rules.email, f"ama@{encoded}") == outcome(rules.email, f"ama@{host}.com")


@pytest.mark.parametrize(
    ("code", "cells"),
    [
        ("email_without_at", ["ama", 12, "mailto:", "ama.example.com", "ama at example.com", ","]),
        ("email_without_domain", ["ama@", "ama@example", "ama@-example.com", "ama@example..com"]),
        ("email_with_space", ["a b@example.com", "ama @example.com", "ama@ example.com"]),
        (
            "several_emails",
            [
                *("ama@example.com, kofi@example.com", "ama@example.com;kofi@example.com"),
                *(
                    "ama@example.com\nkofi@example.com",
                    "ama@x.com or kofi@x.com",
                    "a@x.com/b@x.com",
                ),
                *("kofi@example.com <ama@example.com>", "ama@example.com, kofi@"),
            ],
        ),
        (
            "invalid_email",
            ["@example.com", "ama@@example.com", "ama.@example.com", "áma@x.com", "a..b@x.com"],
        ),
    ],
)
def test_what_is_no_address_is_told_why(code, cells):
    assert [outcome(rules.email, cell) for cell in cells] == [(code, {})] * len(cells)


def test_an_address_is_refused_without_quoting_it():
    with pytest.raises(Invalid) as refused:
        rules.email("ama.@example.com")
    assert "ama" not in str(refused.value) + str(refused.value.params)
    assert refused.value.__context__ is None


def test_an_address_may_have_254_characters():
    host = "@" + ".".join(["b" * 60] * 3) + ".com"
    address = "a" * (254 - len(host)) + host
    assert rules.email(address.upper()) == address
    assert refusal(rules.email, "a" + address) == ("too_long", {"limit": 254})


@given(cell=st.one_of(st.emails(), MAILISH, st.from_regex(rules.PLAIN_EMAIL, fullmatch=True)))
@example("a@" + "b" * 63 + ".com")
@example("a@" + "b" * 64 + ".com")
@example("a@xn--exmple-cua.com")
@example("'-@b.com")
@example("=@b.com")
def test_ordinary_addresses_are_judged_as_all_addresses(cell):
    assert outcome(rules.email, cell) == outcome(lambda text: long_way(rules.email, text), cell)
    if len(cell) <= rules.EMAIL_LENGTH and rules.PLAIN_EMAIL.fullmatch(cell):
        validate_email(cell.lower())
