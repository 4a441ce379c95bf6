"""Settings of the app that the site reads from environment variables."""

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured

from config.env import make_mailer, read_app_settings
from imports.conf import list_settings


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    for name in ("IMPORTS_STORAGE", "IMPORTS_BATCH_ROWS", "IMPORTS_FINISH_CHECK_TIMEOUT"):
        monkeypatch.setenv(name, "")

    assert not read_app_settings(list_settings(), excluded=[]).keys() & {
        "IMPORTS_STORAGE",
        "IMPORTS_BATCH_ROWS",
        "IMPORTS_FINISH_CHECK_TIMEOUT",
    }


def test_a_duration_is_validated(monkeypatch):
    monkeypatch.setenv("IMPORTS_FINISH_CHECK_TIMEOUT", "soon")
    with pytest.raises(ImproperlyConfigured, match="IMPORTS_FINISH_CHECK_TIMEOUT must be"):
        read_app_settings(list_settings(), excluded=[])

    monkeypatch.setenv("IMPORTS_FINISH_CHECK_TIMEOUT", "2min")
    values = read_app_settings(list_settings(), excluded=[])
    assert values["IMPORTS_FINISH_CHECK_TIMEOUT"] == "2min"


def test_none_turns_a_limit_off_that_may_be_none(monkeypatch):
    monkeypatch.setenv("IMPORTS_MAX_STORED_BYTES_PER_USER", "none")
    values = read_app_settings(list_settings(), excluded=[])
    assert values["IMPORTS_MAX_STORED_BYTES_PER_USER"] is None

    monkeypatch.setenv("IMPORTS_BATCH_ROWS", "none")
    with pytest.raises(ImproperlyConfigured, match="IMPORTS_BATCH_ROWS must be a whole number"):
        read_app_settings(list_settings(), excluded=[])


def test_a_list_is_not_ignored_without_a_word(monkeypatch):
    monkeypatch.setenv("IMPORTS_NOTICE_RETRY_SECONDS", "5,10")

    with pytest.raises(ImproperlyConfigured, match="IMPORTS_NOTICE_RETRY_SECONDS has no"):
        read_app_settings(list_settings(), excluded=[])


@pytest.mark.parametrize(
    ("url", "backend", "options"),
    [
        (
            "smtp+tls://ann:secret@mail.example.com:587",
            "smtp",
            {
                "host": "mail.example.com",
                "port": 587,
                "username": "ann",
                "password": "secret",
                "use_tls": True,
                "timeout": 10,
            },
        ),
        ("filemail:////var/mail", "filebased", {"file_path": "/var/mail"}),
        ("consolemail://", "console", {}),
    ],
)
def test_a_mailer_has_the_options_of_its_backend_only(url, backend, options):
    settings = environ.Env.email_url_config(url) | {"EMAIL_TIMEOUT": 10}

    assert make_mailer(settings) == {
        "BACKEND": f"django.core.mail.backends.{backend}.EmailBackend",
        "OPTIONS": options,
    }
