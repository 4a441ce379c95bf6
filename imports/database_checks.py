"""System checks of the databases and the users of a project (`manage.py check`).

The imports, the records that they write and the users have foreign keys to each other, and a batch
is one transaction. Therefore all of them are in one PostgreSQL database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, router
from django.db.models import Model

from imports.importer import list_importers
from imports.postgres import get_alias, get_connection, get_sqlstate, open_cursor

SAME_DATABASE_HINT = (
    "Let your database router return the same alias for the app imports, for the models of your "
    "importers, and for the apps of the users (auth, contenttypes, and that of AUTH_USER_MODEL), "
    "in db_for_read and in db_for_write."
)
# By setting: the values with which the log of PostgreSQL holds no values of rows, best first. An
# error quotes a row in its text, its details and its statement.
SAFE_LOG_SETTINGS = {
    "log_min_messages": ("log", "fatal", "panic"),
    "log_min_error_statement": ("panic", "fatal"),
    "log_statement": ("none", "ddl"),
    "log_min_duration_statement": ("-1",),
}


def check_databases(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the project's databases and users, whatever `app_configs` says. Connects to none."""
    return [
        *check_vendor(),
        *check_binding(),
        *check_database_aliases(),
        *check_user_model(),
        *check_token_user_id(),
    ]


def check_vendor() -> Iterator[CheckMessage]:
    vendor = get_connection().vendor
    if vendor != "postgresql":
        yield Error(
            f"The imports are in the database {get_alias()!r}, which is {vendor}, not PostgreSQL.",
            hint="Add a PostgreSQL database to DATABASES. If it is not the default one, add a "
            "router to DATABASE_ROUTERS that returns its alias.",
            id="imports.E120",
        )


def check_binding() -> Iterator[CheckMessage]:
    if get_connection().settings_dict["OPTIONS"].get("server_side_binding"):
        yield Error(
            f"The database {get_alias()!r} binds parameters on the server.",
            hint="Remove server_side_binding from its OPTIONS. PostgreSQL cannot infer the types "
            "of all parameters in the statements of an import.",
            id="imports.E124",
        )


def check_database_aliases() -> Iterator[CheckMessage]:
    """Check that all models are read from and written to the database of the imports."""
    models = [
        *apps.get_app_config("imports").get_models(),
        *(importer.model for importer in list_importers()),
        get_user_model(),
    ]
    expected = get_alias()
    for model in dict.fromkeys(models):
        aliases = {router.db_for_read(model), router.db_for_write(model)}
        if aliases != {expected}:
            yield Error(
                f"{model._meta.label} is in the database {' or '.join(sorted(aliases))}, and the "
                f"imports are in {expected}.",
                hint=SAME_DATABASE_HINT,
                obj=model,
                id="imports.E121",
            )


def check_user_model() -> Iterator[CheckMessage]:
    users: type[Model] = get_user_model()
    if not hasattr(users, "has_perm"):
        yield Error(
            f"{users._meta.label} has no permissions, so nobody could import.",
            hint="Let it inherit from django.contrib.auth.models.PermissionsMixin.",
            obj=users,
            id="imports.E122",
        )


def check_token_user_id() -> Iterator[CheckMessage]:
    """Check that Simple JWT, if it is installed, can write a user's key into a token."""
    if find_spec("rest_framework_simplejwt") is None:
        return
    from rest_framework_simplejwt.settings import api_settings

    name, users = api_settings.USER_ID_FIELD, get_user_model()
    try:
        is_known = name == "pk" or bool(users._meta.get_field(name))
    except FieldDoesNotExist:
        is_known = False
    if not is_known:
        yield Error(
            f"{users._meta.label} has no field {name!r}, so its users get no tokens.",
            hint='Set SIMPLE_JWT = {"USER_ID_FIELD": "pk"}.',
            obj=users,
            id="imports.E123",
        )


def check_database_log(
    app_configs: Sequence[AppConfig] | None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Check, with `check --deploy --database`, that PostgreSQL logs no values of rows."""
    if get_alias() not in (databases or ()):
        return []
    names = list(SAFE_LOG_SETTINGS)
    try:
        with open_cursor() as cursor:
            cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names])
            found = dict(cursor.fetchall())
    except DatabaseError as error:
        message = f"The settings of the database cannot be read (SQLSTATE {get_sqlstate(error)})."
        return [checks.Warning(message, id="imports.W129")]
    return [
        checks.Warning(
            f"The log of PostgreSQL may hold values of rows: {name} is {found[name]}.",
            hint=f"As a superuser: ALTER ROLE {get_connection().settings_dict['USER'] or 'imports'}"
            f" SET {name} = '{safe[0]}';",
            id="imports.W128",
        )
        for name, safe in SAFE_LOG_SETTINGS.items()
        if found.get(name) not in safe
    ]
