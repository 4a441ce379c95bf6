"""The French translation is complete, and the compiled catalog matches its source."""

import io
import re
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from django.test import Client
from django.utils.translation.template import templatize

PROJECT = Path(__file__).resolve().parents[1]
# The folders whose messages each catalog translates. The app has its own catalog.
CATALOGS = {"imports/locale": ("imports",), "locale": ("customers", "config", "templates")}
each_catalog = pytest.mark.parametrize("folder", CATALOGS)
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
}


def find_french(folder, suffix):
    return (PROJECT / folder / "fr" / "LC_MESSAGES" / "django").with_suffix(suffix)


def read_catalog(folder):
    with find_french(folder, ".po").open("rb") as file:
        return read_po(file, locale="fr")


def extract_messages(file):
    text = file.read_text()
    if file.suffix == ".html":  # As makemessages does. Indented lines are no Python.
        text = "\n".join(line.lstrip() for line in templatize(text, origin=None).splitlines())
    return {found for _, found, _, _ in extract("python", io.BytesIO(text.encode()), KEYWORDS)}


def find_messages(folders):
    files = [
        file
        for folder in folders
        for kind in ("*.py", "*.html")
        for file in (PROJECT / folder).rglob(kind)
        if "migrations" not in file.parts
    ]
    return set().union(*map(extract_messages, files))


@each_catalog
def test_every_message_is_translated_into_french(folder):
    french = {
        message.id: message for message in read_catalog(folder) if message.id and message.string
    }

    found = find_messages(CATALOGS[folder])

    assert len(found) > 50
    assert {message for message in found if message not in french} == set()


@each_catalog
def test_translations_are_complete_and_keep_placeholders(folder):
    for message in read_catalog(folder):
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(texts), message.id
        assert not message.fuzzy or not message.id, message.id
        source = message.id[-1] if isinstance(message.id, tuple) else message.id
        if message.id:
            assert find_placeholders(source) == find_placeholders(texts[-1]), message.id


@each_catalog
def test_french_punctuation_follows_a_no_break_space(folder):
    for message in read_catalog(folder):
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert not message.id or not re.search(r" [:;?!»]|« ", " ".join(texts)), message.id


def find_placeholders(text):
    return set(re.findall(r"%\(\w+\)s|\{n\}|<b>", text))


@each_catalog
def test_compiled_catalog_matches_the_source(folder):
    compiled = io.BytesIO()
    write_mo(compiled, read_catalog(folder))
    compiled.seek(0)
    with find_french(folder, ".mo").open("rb") as file:
        shipped = {str(m.id): m.string for m in read_mo(file) if m.id}

    assert {str(m.id): m.string for m in read_mo(compiled) if m.id} == shipped


def test_french_is_selected_by_accept_language(db):
    page = Client(headers={"accept-language": "fr"}).get("/accounts/login/").content.decode()

    assert '<html lang="fr">' in page
    assert "Se connecter" in page
