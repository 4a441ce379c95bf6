"""System checks of the settings and the URLs of a project."""

import sys

import pytest
from django.core.checks import run_checks
from django.test import override_settings
from django.urls import path

from imports import importer, setup_checks


def find_ids(**changed):
    """Return the ids of the messages about a project with these settings."""
    with override_settings(**changed):
        return [message.id for message in run_checks(tags=["imports"])]


def test_the_settings_of_this_site_are_complete():
    assert find_ids() == []


urlpatterns = [path("other/", setup_checks.check_setup)]


@pytest.mark.parametrize(
    ("changed", "check_id"),
    [
        ({"ROOT_URLCONF": "tests.test_setup_checks"}, "imports.W103"),
        ({"LOGIN_URL": "/nowhere/"}, "imports.W104"),
        ({"LOGIN_URL": "nowhere"}, "imports.W104"),
        ({"IMPORTS_MAX_UPLOAD_BYTE": 1}, "imports.W105"),
        ({"IMPORTS_MAX_UPLOAD_BYTES": "5 MB"}, "imports.E106"),
        ({"IMPORTS_MAX_UPLOAD_BYTES": True}, "imports.E106"),
        ({"IMPORTS_TURN_SECONDS": -1}, "imports.E106"),
        ({"IMPORTS_REDIS_URL": None}, "imports.E106"),
        ({"IMPORTS_PLACEHOLDERS": "n/a"}, "imports.E106"),
        ({"IMPORTS_READER_LIMITS": {"row": 5}}, "imports.E106"),
        ({"IMPORTS_READER_LIMITS": {"rows": "many"}}, "imports.E106"),
        ({"IMPORTS_READER_LIMITS": 5}, "imports.E106"),
        ({"IMPORTS_THROTTLE_RATES": {"reads": "5"}}, "imports.E106"),
        ({"IMPORTS_THROTTLE_RATES": {"reads": "5/week"}}, "imports.E106"),
        ({"IMPORTS_DATABASE_TIMEOUTS": {"lock_timeout": "soon"}}, "imports.E106"),
        ({"IMPORTS_DATABASE_TIMEOUTS": {"lock_timeout": None}}, "imports.E106"),
        ({"IMPORTS_FINISH_CHECK_TIMEOUT": "5 minutes"}, "imports.E106"),
        ({"IMPORTS_STORAGE": "uploads"}, "imports.E107"),
    ],
)
def test_a_wrong_setting_is_named(changed, check_id):
    assert find_ids(**changed) == [check_id]


def test_rates_may_be_none_and_durations_have_any_unit_of_postgresql():
    changed = {
        "IMPORTS_THROTTLE_RATES": {"reads": None, "logins": "5/hour"},
        "IMPORTS_DATABASE_TIMEOUTS": {"lock_timeout": "1h", "statement_timeout": "0"},
        "IMPORTS_FINISH_CHECK_TIMEOUT": "5 min",
    }

    assert find_ids(**changed) == []


@override_settings(SIMPLE_JWT={})
def test_tokens_that_outlive_a_password_are_named():
    assert [message.id for message in setup_checks.check_tokens()] == ["imports.W125"]


def test_a_project_without_importers_is_told(monkeypatch):
    monkeypatch.setattr(importer, "_registered", {})

    assert find_ids() == ["imports.W126"]


def test_a_redis_url_without_a_scheme_is_named(settings):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_dramatiq"
    ]

    assert find_ids(IMPORTS_REDIS_URL="localhost:6379") == ["imports.E106", "imports.E109"]


def test_a_log_in_on_another_site_is_accepted():
    assert find_ids(LOGIN_URL="https://login.example.com/") == []


@pytest.mark.parametrize(
    ("header", "proxies", "ids"),
    [
        (("HTTP_X_FORWARDED_PROTO", "https"), 0, ["imports.W130"]),
        (("HTTP_X_FORWARDED_PROTO", "https"), 1, []),
        (None, 0, []),
    ],
)
def test_a_site_behind_a_proxy_must_trust_its_addresses(settings, header, proxies, ids):
    settings.SECURE_PROXY_SSL_HEADER = header
    settings.IMPORTS_TRUSTED_PROXIES = proxies

    messages = run_checks(tags=["imports"], include_deployment_checks=True)

    assert [message.id for message in messages] == ids


def test_a_missing_app_is_named(settings):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django.contrib.messages"
    ]

    (message,) = setup_checks.check_installed_apps()

    assert message.id == "imports.E101"
    assert '"django.contrib.messages"' in message.hint


def test_a_missing_context_processor_is_named(settings):
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"OPTIONS": {"context_processors": []}}]

    assert [message.id for message in setup_checks.check_templates()] == ["imports.W102"] * 3


def test_templates_of_apps_must_be_found(settings):
    settings.TEMPLATES = []

    assert [message.id for message in setup_checks.check_templates()] == ["imports.E102"]


def test_a_missing_optional_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)

    (message,) = setup_checks.check_packages()

    assert message.hint == "pip install 'django-live-imports[workbooks]'"
