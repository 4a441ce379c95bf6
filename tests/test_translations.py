"""The French translation is complete, and the compiled catalog matches its source."""

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
FOLDERS = ("imports", "customers", "config", "templates")
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
}


def catalog():
    with FRENCH.with_suffix(".po").open("rb") as file:
        return read_po(file, locale="fr")


def extract_messages(file):
    text = file.read_text()
    if file.suffix == ".html":  # As makemessages does. Indented lines are no Python.
        text = "\n".join(line.lstrip() for line in templatize(text, origin=None).splitlines())
    return {found for _, found, _, _ in extract("python", io.BytesIO(text.encode()), KEYWORDS)}


def all_messages():
    files = [
        file
        for folder in FOLDERS
        for kind in ("*.py", "*.html")
        for file in (PROJECT / folder).rglob(kind)
        if "migrations" not in file.parts
    ]
    return set().union(*map(extract_messages, files))


def test_every_message_is_translated_into_french():
    french = {message.id: message for message in catalog() if message.id and message.string}

    found = all_messages()

    assert len(found) > 300
    assert {message for message in found if message not in french} == set()


def test_translations_are_complete_and_keep_placeholders():
    for message in catalog():
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(texts), message.id
        assert not message.fuzzy or not message.id, message.id
        source = message.id[-1] if isinstance(message.id, tuple) else message.id
        if message.id:
            assert find_placeholders(source) == find_placeholders(texts[-1]), message.id


def test_french_punctuation_follows_a_no_break_space():
    for message in catalog():
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert not message.id or not re.search(r" [:;?!»]|« ", " ".join(texts)), message.id


def find_placeholders(text):
    return set(re.findall(r"%\(\w+\)s|\{n\}|<b>", text))


def test_compiled_catalog_matches_the_source():
    compiled = io.BytesIO()
    write_mo(compiled, catalog())
    compiled.seek(0)
    with FRENCH.with_suffix(".mo").open("rb") as file:
        shipped = {str(m.id): m.string for m in read_mo(file) if m.id}

    assert {str(m.id): m.string for m in read_mo(compiled) if m.id} == shipped


def test_french_is_selected_by_accept_language(db):
    page = Client(headers={"accept-language": "fr"}).get("/accounts/login/").content.decode()

    assert '<html lang="fr">' in page
    assert "Se connecter" in page
