"""System checks of a project that installs the app: `manage.py check` says what is missing.

`imports.checks` has the checks of the importers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.shortcuts import resolve_url
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import NoReverseMatch, Resolver404, resolve, reverse

from imports.broker import get_broker, is_in_memory, is_polling
from imports.conf import PREFIX, MappingSetting, Setting, app_settings, list_settings
from imports.importer import list_importers

REQUIRED_APPS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
)
REQUIRED_CONTEXT_PROCESSORS = (
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
)
# The optional package, its extra, and what is missing without it.
OPTIONAL_PACKAGES = (
    ("xlsxwriter", "workbooks", "templates and failed-rows.xlsx are not available"),
    ("xlrd", "xls", "uploads of .xls fail with the code xls_not_supported"),
    ("rest_framework_simplejwt", "tokens", "the REST API accepts sessions only"),
    ("drf_spectacular", "openapi", "the REST API has no description"),
)


def check_setup(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings and the URLs of the project, whatever `app_configs` says."""
    return [
        *check_installed_apps(),
        *check_templates(),
        *check_urls(),
        *check_setting_names(),
        *check_setting_values(),
        *check_storage(),
        *check_broker(),
        *check_packages(),
        *check_tokens(),
        *check_registered_importers(),
        *check_notices(),
    ]


def check_installed_apps() -> Iterator[CheckMessage]:
    for name in REQUIRED_APPS:
        if not apps.is_installed(name):
            yield Error(
                f"{name} is not installed.",
                hint=f'Add "{name}" to INSTALLED_APPS, because the app imports uses it.',
                id="imports.E101",
            )


def check_templates() -> Iterator[CheckMessage]:
    """Check the template engine that finds the pages of the app."""
    for engine in engines.all():
        if isinstance(engine, DjangoTemplates) and engine.app_dirs:
            installed = {
                f"{function.__module__}.{function.__qualname__}"
                for function in engine.engine.template_context_processors
            }
            for name in REQUIRED_CONTEXT_PROCESSORS:
                if name not in installed:
                    yield checks.Warning(
                        f"The template engine lacks the context processor {name}.",
                        hint="Add it to OPTIONS['context_processors'] in TEMPLATES, or the pages "
                        "of the app imports lack their user, their messages or their links.",
                        id="imports.W102",
                    )
            return
    yield Error(
        "No template engine finds the templates of apps.",
        hint="Set APP_DIRS for django.template.backends.django.DjangoTemplates in TEMPLATES.",
        id="imports.E102",
    )


def check_urls() -> Iterator[CheckMessage]:
    try:
        reverse("imports:list")
    except NoReverseMatch:
        yield checks.Warning(
            "The root URLconf does not include imports.urls, so there are no pages and no REST "
            "API.",
            hint='Add path("data/", include("imports.urls")) to the root URLconf, with any prefix.',
            id="imports.W103",
        )
        return
    try:
        login_url = resolve_url(settings.LOGIN_URL)
        if login_url.startswith("/"):  # A log-in on another site is not checked.
            resolve(login_url.partition("?")[0])
    except (NoReverseMatch, Resolver404):
        yield checks.Warning(
            "LOGIN_URL is not a URL of this project.",
            hint="Pages of the app imports send users there to log in. Name a URL of the project, "
            "or include django.contrib.auth.urls.",
            id="imports.W104",
        )


def check_setting_names() -> Iterator[CheckMessage]:
    known = {setting.name for setting in list_settings()}
    for name in sorted(dir(settings)):
        if name.startswith(PREFIX) and name not in known:
            similar = get_close_matches(name, known, n=1)
            hint = f"Did you mean {similar[0]}?" if similar else "docs/settings.md lists all."
            yield checks.Warning(f"There is no setting {name}.", hint=hint, id="imports.W105")


def check_setting_values() -> Iterator[CheckMessage]:
    for setting in list_settings():
        value = getattr(settings, setting.name, setting.default)
        for problem in find_value_problems(setting, value):
            yield Error(f"{setting.name} {problem}.", hint=setting.description, id="imports.E106")


def find_value_problems(setting: Setting[Any], value: object) -> Iterator[str]:
    """Yield what is wrong with the value of a setting, as the end of a sentence."""
    if not isinstance(setting, MappingSetting):
        yield from _find_item_problems(setting, setting.default, value, "is")
        return
    if not isinstance(value, dict):
        yield "must be a dictionary"
        return
    for key, item in value.items():
        if key not in setting.default:
            yield f"has the unknown key {key!r}; it may have {', '.join(setting.default)}"
        else:
            yield from _find_item_problems(setting, setting.default[key], item, f"[{key!r}] is")


def _find_item_problems(
    setting: Setting[Any], default: object, value: object, subject: str
) -> Iterator[str]:
    if value is None and setting.allows_none:
        return
    problems = list(_find_type_problems(default, value, subject))
    if not problems and setting.pattern and not setting.pattern.fullmatch(str(value)):
        problems.append(f"{subject} {value!r}, and must be like {default!r}")
    yield from problems


def _find_type_problems(default: object, value: object, subject: str) -> Iterator[str]:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            yield f"{subject} {value!r}, and must be True or False"
    elif isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{subject} {value!r}, and must be a number"
        elif value < 0:
            yield f"{subject} {value!r}, and must not be negative"
    elif isinstance(default, str) and not isinstance(value, str):
        yield f"{subject} {value!r}, and must be a text"
    elif isinstance(default, list) and (isinstance(value, str) or not isinstance(value, Sequence)):
        yield f"{subject} {value!r}, and must be a list"


def check_storage() -> Iterator[CheckMessage]:
    alias = app_settings.STORAGE
    is_default = alias == type(app_settings).STORAGE.default
    if not is_default and alias not in settings.STORAGES:
        yield Error(
            f"IMPORTS_STORAGE names the storage {alias!r}, which STORAGES lacks.",
            hint="Add the alias to STORAGES, or remove IMPORTS_STORAGE: then uploaded files are "
            "stored in the database.",
            id="imports.E107",
        )


def check_broker() -> Iterator[CheckMessage]:
    try:
        get_broker()
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Correct IMPORTS_BROKER, or remove it: then messages go through the broker of "
            "django_dramatiq if that app is installed, and otherwise through the server of "
            "IMPORTS_REDIS_URL.",
            id="imports.E109",
        )


def check_deployed_broker(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check, with `manage.py check --deploy`, how messages reach the workers."""
    try:
        broker = get_broker()
    except ImproperlyConfigured:  # Reported by `check_broker`.
        return []
    if is_polling(broker):
        return [
            checks.Info(
                f"With {type(broker).__name__}, idle workers poll Redis, and each takes several "
                "percent of a processor core.",
                hint="Use imports.redis_broker.NotifyingRedisBroker, which takes the same options: "
                "as BROKER in DRAMATIQ_BROKER, or in the module that IMPORTS_BROKER names.",
                id="imports.I111",
            )
        ]
    if not is_in_memory(broker):
        return []
    return [
        checks.Warning(
            f"{type(broker).__name__} keeps messages in the memory of one process, so workers "
            "receive none.",
            hint="Configure a broker on Redis or RabbitMQ, in DRAMATIQ_BROKER or IMPORTS_BROKER.",
            id="imports.W110",
        )
    ]


def check_trusted_proxies(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """Check, with `manage.py check --deploy`, that the proxy of the site is counted."""
    if settings.SECURE_PROXY_SSL_HEADER and not app_settings.TRUSTED_PROXIES:
        yield checks.Warning(
            "SECURE_PROXY_SSL_HEADER says that the site is behind a proxy, but "
            "IMPORTS_TRUSTED_PROXIES is 0, so all clients have the address of the proxy and share "
            "the limits of one address.",
            hint="Set IMPORTS_TRUSTED_PROXIES to the number of proxies that add an address to "
            "X-Forwarded-For. If there is no proxy, remove SECURE_PROXY_SSL_HEADER.",
            id="imports.W130",
        )


def check_packages() -> Iterator[CheckMessage]:
    for package, extra, consequence in OPTIONAL_PACKAGES:
        if find_spec(package) is None:
            yield checks.Info(
                f"{package} is not installed: {consequence}.",
                hint=f"pip install 'django-live-imports[{extra}]'",
                id="imports.I108",
            )


def check_tokens() -> Iterator[CheckMessage]:
    """Check that tokens of the REST API end when they must not be used any longer."""
    if find_spec("rest_framework_simplejwt") is None:
        return
    from rest_framework_simplejwt.settings import api_settings

    if not api_settings.CHECK_REVOKE_TOKEN:
        yield checks.Warning(
            "A new password does not end the access tokens of a user.",
            hint='Set SIMPLE_JWT = {"CHECK_REVOKE_TOKEN": True} in the settings.',
            id="imports.W125",
        )


def check_registered_importers() -> Iterator[CheckMessage]:
    if not list_importers():
        yield checks.Warning(
            "No importer is registered, so nothing can be imported.",
            hint="Put a class with the decorator @register into the module `importers` of an "
            "installed app.",
            id="imports.W126",
        )


def check_notices() -> Iterator[CheckMessage]:
    if app_settings.EMAIL_OWNERS and not app_settings.SITE_URL:
        yield checks.Warning(
            "The e-mails to owners of imports have no link.",
            hint="Set IMPORTS_SITE_URL to the address of the site.",
            id="imports.W127",
        )
