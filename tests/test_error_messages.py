"""The sentences of row errors say what is wrong and what would be right."""

from __future__ import annotations

import re

import pytest
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    FloatField,
    IntegerField,
    TimeField,
)

from customers.validators import MESSAGES
from imports import error_messages
from imports.importer import InvalidValue
from imports.pipeline.field_cleaning import make_field_cleaner

ADVICE = re.compile(
    r"\b(Write|Type|Fill|Put|Keep|Delete|Check|Correct|Compare|Shorten|Remove|Format|Look|Open"
    r"|Import|Tell|It must)\b"
)


@pytest.mark.parametrize(
    ("code", "sentence"), sorted((MESSAGES | error_messages.ROW_MESSAGES).items())
)
def test_every_sentence_of_a_row_error_gives_advice(code, sentence):
    assert ADVICE.search(str(sentence)), code
    assert str(sentence).endswith(".")


# What a person can do about a file or an import that failed.
JOB_ADVICE = re.compile(
    r"(^|[.,] |, and |, or )(Choose|Save|Extract|Open|Export|Upload|Import|Copy|Split|Remove"
    r"|Shorten|Unmerge|Undo|Close|Delete|Contact|Select|Correct|Start|Retry|Ask|Look|save|rename|upload"
    r"|delete)\b"
)


@pytest.mark.parametrize(("code", "sentence"), sorted(error_messages.JOB_MESSAGES.items()))
def test_every_sentence_of_a_failed_import_says_what_to_do(code, sentence):
    sentences = str(sentence).split(". ", maxsplit=1)

    assert len(sentences) == 2, "One sentence says what is wrong, and the next what to do."
    assert JOB_ADVICE.search(sentences[1]), code
    assert str(sentence).endswith(".")


@pytest.mark.parametrize(
    ("field", "cell", "message"),
    [
        (IntegerField(), "1.5", "This is not a whole number. Write it like 12."),
        (IntegerField(validators=[MinValueValidator(1)]), 0, "It must be at least 1."),
        (FloatField(validators=[MaxValueValidator(9)]), 10, "It must be at most 9."),
        (DecimalField(max_digits=4, decimal_places=2), "12 kg", "Write it like 12 or 12.50"),
        (DecimalField(max_digits=4, decimal_places=2), "1.234", "Write it with at most 2."),
        (DateField(), "31st", "This is not a date. Write it like 2026-01-31."),
        (DateTimeField(), "noon", "Write it like 2026-01-31 14:30."),
        (TimeField(), "noon", "Write it like 14:30."),
        (BooleanField(), "perhaps", "Write yes or no."),
        (CharField(max_length=3), "abcd", "Shorten it to at most 3 characters."),
        (CharField(choices=[("a", "A"), ("b", "B")]), "c", "Write one of: A, B."),
    ],
)
def test_the_sentence_says_what_the_field_accepts(field, cell, message):
    field.set_attributes_from_name("value")
    with pytest.raises(InvalidValue) as raised:
        make_field_cleaner(field)(cell)

    error = {"code": raised.value.code, "params": raised.value.params}
    assert message in error_messages.describe_row_error(error, "customers")


def test_an_error_without_its_parameters_still_has_a_sentence():
    assert "row …" in error_messages.describe_row_error(
        {"code": "repeats_row", "params": {}}, "customers"
    )


def test_a_code_without_a_sentence_gets_one():
    error, why = {"code": "strange", "params": {"row": 1}}, "there is no explanation for this code."

    assert error_messages.describe_row_error(error, "customers") == (
        f"This value was not accepted, with the error code strange. Tell an administrator: {why}"
    )
    assert error_messages.describe_job_error("strange", None) == (
        f"The import has stopped with the error code strange. Contact an administrator: {why}"
    )
    assert error_messages.describe_kept(error) == (
        "The record was kept for a reason with the code strange."
    )
    assert error_messages.describe_read_summary_entry(error, "customers") == (
        "The file was read in an unusual way, with the code strange."
    )
