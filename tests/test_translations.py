"""French is whole, and what is compiled is what is written."""

import io
import re
from pathlib import Path

from babel.messages.extract import extract
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from django.test import Client
from django.utils.translation.template import templatize

PROJECT = Path(__file__).resolve().parents[1]
FRENCH = PROJECT / "locale" / "fr" / "LC_MESSAGES" / "django"
ROOMS = ("imports", "customers", "config", "templates")
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
}


def catalog():
    with FRENCH.with_suffix(".po").open("rb") as file:
        return read_po(file, locale="fr")


def messages_of(file):
    text = file.read_text()
    if file.suffix == ".html":  # As Django's own makemessages does; indented lines are no Python.
        text = "\n".join(line.lstrip() for line in templatize(text, origin=None).splitlines())
    return {found for _, found, _, _ in extract("python", io.BytesIO(text.encode()), KEYWORDS)}


def all_messages():
    files = [
        file
        for room in ROOMS
        for kind in ("*.py", "*.html")
        for file in (PROJECT / room).rglob(kind)
        if "embedded" not in file.parts and "migrations" not in file.parts
    ]
    return set().union(*map(messages_of, files))


def test_every_message_is_in_french():
    french = {message.id: message for message in catalog() if message.id and message.string}

    found = all_messages()

    assert len(found) > 300
    assert {message for message in found if message not in french} == set()


def test_no_translation_is_half_done():
    for message in catalog():
        words = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(words), message.id
        assert not message.fuzzy or not message.id, message.id
        asked = message.id[-1] if isinstance(message.id, tuple) else message.id
        if message.id:
            assert placeholders(asked) == placeholders(words[-1]), message.id


def test_no_line_begins_with_a_sign_that_stands_behind_a_space():
    for message in catalog():
        words = message.string if isinstance(message.string, tuple) else (message.string,)
        assert not message.id or not re.search(r" [:;?!»]|« ", " ".join(words)), message.id


def placeholders(text):
    return set(re.findall(r"%\(\w+\)s|\{n\}|<b>", text))


def test_what_is_compiled_is_what_is_written():
    compiled = io.BytesIO()
    write_mo(compiled, catalog())
    compiled.seek(0)
    with FRENCH.with_suffix(".mo").open("rb") as file:
        shipped = {str(m.id): m.string for m in read_mo(file) if m.id}

    assert {str(m.id): m.string for m in read_mo(compiled) if m.id} == shipped


def test_a_reader_of_french_gets_it(db):
    page = Client(headers={"accept-language": "fr"}).get("/accounts/login/").content.decode()

    assert '<html lang="fr">' in page
    assert "Se connecter" in page
