"""System checks of a project's databases and of its user model."""

from typing import ClassVar

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.core.checks import run_checks
from django.db import models

from customers.models import Customer
from imports import database_checks
from imports.models import ImportJob, ImportRow
from tests.database import connection


class StubRouter:
    """Sends each model of `reads` and `writes` to the alias that it has there."""

    reads: ClassVar[dict] = {}
    writes: ClassVar[dict] = {}

    def db_for_read(self, model, **hints):
        return self.reads.get(model)

    def db_for_write(self, model, **hints):
        return self.writes.get(model)


@pytest.fixture
def route(monkeypatch, settings):
    """Return a function that changes the aliases of models."""
    settings.DATABASE_ROUTERS = [f"{__name__}.StubRouter", *settings.DATABASE_ROUTERS]

    def route(*, reads, writes):
        monkeypatch.setattr(StubRouter, "reads", reads)
        monkeypatch.setattr(StubRouter, "writes", writes)

    return route


def list_errors():
    return [(error.id, error.msg) for error in database_checks.check_databases(None)]


def test_the_database_and_the_users_of_the_site_are_suitable():
    assert list_errors() == []


def test_the_checks_are_registered(route):
    route(reads={Customer: "other"}, writes={Customer: "other"})

    assert "imports.E121" in [message.id for message in run_checks(tags=["imports"])]


def test_records_in_another_database_than_the_imports_are_an_error(route):
    route(reads={Customer: "other"}, writes={Customer: "other"})

    ((error_id, message),) = list_errors()

    assert error_id == "imports.E121"
    assert message.startswith("customers.Customer is in the database other, and the imports are in")


def test_users_in_another_database_than_the_imports_are_an_error(route, django_user_model):
    route(reads={django_user_model: "other"}, writes={django_user_model: "other"})

    ((error_id, message),) = list_errors()

    assert error_id == "imports.E121"
    assert django_user_model._meta.label in message


@pytest.mark.parametrize("model", [ImportJob, ImportRow])
def test_reads_from_a_replica_are_an_error(route, model):
    route(reads={model: "replica"}, writes={})

    ((error_id, message),) = list_errors()

    assert error_id == "imports.E121"
    assert "replica" in message


def test_a_database_that_is_not_postgresql_is_an_error(monkeypatch):
    monkeypatch.setattr(database_checks.get_connection(), "vendor", "sqlite")

    ((error_id, message),) = list_errors()

    assert error_id == "imports.E120"
    assert "is sqlite, not PostgreSQL" in message


def test_parameters_that_are_bound_on_the_server_are_an_error(monkeypatch):
    options = database_checks.get_connection().settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "server_side_binding", True)

    ((error_id, _),) = list_errors()

    assert error_id == "imports.E124"


class Visitor(AbstractBaseUser):
    """A user model without permissions, and without a field `id`."""

    code = models.CharField(primary_key=True, max_length=10)
    USERNAME_FIELD = "code"

    class Meta:
        app_label = "database_checks"
        managed = False


def test_users_without_permissions_are_an_error(monkeypatch):
    monkeypatch.setattr(database_checks, "get_user_model", lambda: Visitor)

    (error,) = database_checks.check_user_model()

    assert error.id == "imports.E122"


def test_a_token_without_a_field_for_the_user_is_an_error(monkeypatch):
    monkeypatch.setattr(database_checks, "get_user_model", lambda: Visitor)

    ids = [error.id for error in database_checks.check_token_user_id()]

    assert ids in (["imports.E123"], [])  # None if the settings of the project name the key "pk".


# --- The log of PostgreSQL ---------------------------------------------------


def list_log_warnings():
    warnings = run_checks(
        tags=["database"], include_deployment_checks=True, databases=[connection.alias]
    )
    return [each for each in warnings if each.id in {"imports.W128", "imports.W129"}]


def test_the_log_of_the_embedded_server_holds_no_values(db):
    assert list_log_warnings() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_min_messages", "error"),
        ("log_min_messages", "warning"),
        ("log_min_error_statement", "error"),
        ("log_statement", "all"),
        ("log_statement", "mod"),
        ("log_min_duration_statement", "1000"),
    ],
)
def test_a_log_that_may_hold_values_is_a_warning(name, value, db):
    with connection.cursor() as cursor:
        cursor.execute(f"SET {name} = '{value}'")
        try:
            (warning,) = list_log_warnings()
        finally:
            cursor.execute(f"RESET {name}")

    assert f"{name} is {value}" in warning.msg
    assert f"SET {name} = " in warning.hint


def test_the_log_is_not_checked_without_a_connection(db):
    assert database_checks.check_database_log(None) == []
