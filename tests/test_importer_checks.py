"""The system checks for importers."""

import uuid
from copy import deepcopy
from itertools import count

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import models
from django.db.models.functions import Now
from django.test.utils import isolate_apps

from imports import importer as importers
from imports.checks import list_importer_errors
from imports.importer import Column, Importer, list_importers, register
from tests.parcels.importer import ParcelImporter


def make_importer(fields, *columns, bases=(models.Model,), **meta):
    """Make an importer with a new model of these fields."""
    options = type("Meta", (), {"app_label": "parcels", **meta})
    attributes = {"__module__": __name__, "Meta": options, **deepcopy(fields)}
    model = type(models.Model)(f"Thing{next(numbers)}", bases, attributes)
    names = {"name": "things", "model": model, "columns": columns}
    return type("Things", (Importer,), names)


def get_error_ids(importer):
    return [error.id.removeprefix("imports.") for error in list_importer_errors(importer)]


def make_text(**options):
    return models.CharField(max_length=20, **options)


def make_constraint(*fields, **options):
    return models.UniqueConstraint(fields=fields, name="_".join(fields), **options)


numbers = count(1)
CODE = Column("code", required=True)


@pytest.fixture(autouse=True)
def own_models():
    with isolate_apps("tests.parcels", "customers"):
        yield


def test_the_registered_importers_have_no_errors():
    assert [
        error for importer in list_importers() for error in list_importer_errors(importer)
    ] == []


def test_an_error_has_a_message_and_a_hint():
    (error,) = list_importer_errors(make_importer({"code": make_text()}, CODE, Column("color")))

    assert (error.id, error.obj) == ("imports.E003", "Importer 'things'")
    assert "color" in error.msg
    assert "Thing" in error.hint


def test_manage_check_checks_every_registered_importer(monkeypatch):
    monkeypatch.setattr(importers, "_registered", dict(importers._registered))
    register(make_importer({"code": make_text()}, CODE, Column("color")))

    with pytest.raises(SystemCheckError, match=r"imports\.E003"):
        call_command("check", "--tag", "imports")


# --- The table ---------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        models.AutoField(primary_key=True),
        models.SmallAutoField(primary_key=True),
        models.BigAutoField(primary_key=True),
        models.UUIDField(primary_key=True, default=uuid.uuid4),
    ],
)
def test_a_primary_key_that_can_be_reserved_is_accepted(key):
    assert get_error_ids(make_importer({"id": key, "code": make_text()}, CODE)) == []


@pytest.mark.parametrize(
    "key",
    [
        models.CharField(primary_key=True, max_length=9),
        models.IntegerField(primary_key=True),
        models.UUIDField(primary_key=True),
    ],
)
def test_another_primary_key_is_an_error(key):
    assert get_error_ids(make_importer({"id": key, "code": make_text()}, CODE)) == ["E002"]


def test_multi_table_inheritance_is_an_error():
    parent = make_importer({"code": make_text()}).model

    child = type("Child", (parent,), {"__module__": __name__, "Meta": type("Meta", (), APP)})

    assert "E001" in get_error_ids(type("Things", (Importer,), {**THINGS, "model": child}))


APP = {"app_label": "parcels"}
THINGS = {"name": "things", "columns": ()}


def test_an_abstract_parent_is_accepted():
    abstract = type("Meta", (), {**APP, "abstract": True})
    fields = {"__module__": __name__, "Meta": abstract, "code": make_text()}
    base = type(models.Model)("Base", (models.Model,), fields)

    assert get_error_ids(make_importer({}, CODE, bases=(base,))) == []


def test_a_proxy_model_is_an_error():
    parent = make_importer({"code": make_text()}).model
    proxy = type("Meta", (), {**APP, "proxy": True})
    child = type("Child", (parent,), {"__module__": __name__, "Meta": proxy})

    things = type("Things", (Importer,), {**THINGS, "model": child, "columns": (CODE,)})

    (error,) = list_importer_errors(things)
    assert error.id == "imports.E001"
    assert "proxy" in error.msg


def test_an_unmanaged_model_is_an_error():
    assert get_error_ids(make_importer({"code": make_text()}, CODE, managed=False)) == ["E001"]


# --- The columns -------------------------------------------------------------


@pytest.mark.parametrize("field", ["color", "id", "others", "parent_id", "shout"])
def test_a_column_that_cannot_be_filled_is_an_error(field):
    fields = {
        "code": make_text(),
        "others": models.ManyToManyField("self"),
        "parent": models.ForeignKey("self", models.CASCADE, null=True),
        "shout": models.GeneratedField(
            expression=models.F("code"), output_field=make_text(), db_persist=True
        ),
    }

    assert get_error_ids(make_importer(fields, CODE, Column(field))) == ["E003"]


def test_a_column_that_is_declared_twice_is_an_error():
    assert get_error_ids(make_importer({"code": make_text()}, CODE, CODE)) == ["E003"]


@pytest.mark.parametrize(
    ("field", "constraints", "errors"),
    [
        (make_text(unique=True), [], []),
        (make_text(), [make_constraint("code")], []),
        (make_text(), [], ["E004"]),
        (make_text(), [make_constraint("code", condition=models.Q(code__gt=""))], ["E004"]),
        (make_text(), [make_constraint("code", "size")], ["E004"]),
    ],
)
def test_a_unique_column_needs_a_unique_constraint(field, constraints, errors):
    size = models.IntegerField(null=True)
    column = Column("code", required=True, unique=True)

    things = make_importer({"code": field, "size": size}, column, constraints=constraints)

    assert get_error_ids(things) == errors


@pytest.mark.parametrize(
    "field",
    [
        models.IntegerField(),
        models.CharField(max_length=9),
        models.ForeignKey("self", models.CASCADE),
        models.IntegerField(blank=True),
    ],
)
def test_a_field_that_needs_a_value_needs_a_required_column(field):
    fields = {"code": make_text(), "more": field}

    assert get_error_ids(make_importer(fields, CODE)) == ["E005"]
    assert get_error_ids(make_importer(fields, CODE, Column("more"))) == ["E006"]
    assert get_error_ids(make_importer(fields, CODE, Column("more", required=True))) == []


@pytest.mark.parametrize(
    "field",
    [
        models.IntegerField(null=True),
        models.IntegerField(default=1),
        models.IntegerField(db_default=1),
        models.DateTimeField(auto_now_add=True),
        models.DateTimeField(auto_now=True),
        models.CharField(max_length=9, blank=True),
        models.DateTimeField(db_default=Now()),
    ],
)
def test_a_field_with_a_default_needs_no_column(field):
    assert get_error_ids(make_importer({"code": make_text(), "more": field}, CODE)) == []


@pytest.mark.parametrize(
    ("field", "constraints", "errors"),
    [
        (models.UUIDField(default=uuid.uuid4, unique=True), [], ["E007"]),
        (models.UUIDField(default=uuid.uuid4), [make_constraint("token")], ["E007"]),
        (models.IntegerField(default=1, unique=True), [], ["E007"]),
        (models.CharField(max_length=9, blank=True, unique=True), [], ["E007"]),
        (models.DateTimeField(auto_now_add=True, unique=True), [], ["E007"]),
        (models.UUIDField(default=uuid.uuid4), [], []),
        (models.UUIDField(default=uuid.uuid4), [make_constraint("token", "code")], []),
        (models.UUIDField(null=True, unique=True), [], []),
        (models.IntegerField(db_default=1, unique=True), [], []),
    ],
)
def test_a_default_of_a_unique_field_is_an_error(field, constraints, errors):
    fields = {"code": make_text(), "token": field}

    assert get_error_ids(make_importer(fields, CODE, constraints=constraints)) == errors


# --- Lookups and names -------------------------------------------------------


@pytest.mark.parametrize(
    ("lookup", "errors"),
    [
        ("shipping_mark", []),
        ("id", []),
        ("first_name", ["E008"]),
        ("color", ["E008"]),
    ],
)
def test_a_lookup_needs_a_unique_field_of_the_related_model(lookup, errors):
    customer = models.ForeignKey(apps.get_model("customers", "Customer"), models.CASCADE)
    column = Column("customer", required=True, lookup=lookup)

    assert (
        get_error_ids(make_importer({"code": make_text(), "customer": customer}, CODE, column))
        == errors
    )


def test_a_lookup_needs_a_foreign_key_to_a_primary_key():
    plain = Column("code", required=True, lookup="shipping_mark")
    keyed = make_importer({"code": make_text(unique=True)}).model
    elsewhere = models.ForeignKey(keyed, models.CASCADE, to_field="code")
    column = Column("thing", required=True, lookup="code")

    assert get_error_ids(make_importer({"code": make_text()}, plain)) == ["E008"]
    assert get_error_ids(make_importer({"thing": elsewhere}, column)) == ["E008"]


@pytest.mark.parametrize("alias", ["Colour", "code", "co-de"])
def test_a_header_of_two_columns_is_an_error(alias):
    fields = {"code": make_text(), "color": make_text(null=True)}
    color = Column("color", aliases=("COLOUR!", alias))
    code = Column("code", aliases=("colour",), required=True)

    errors = list_importer_errors(make_importer(fields, code, color))

    assert {error.id for error in errors} == {"imports.E009"}


def test_an_alias_may_repeat_the_columns_own_name():
    column = Column("code", aliases=("CODE", "the code", "The-Code"), required=True)

    assert get_error_ids(make_importer({"code": make_text()}, column)) == []


def test_the_parcel_importer_has_no_errors():
    assert get_error_ids(ParcelImporter) == []
