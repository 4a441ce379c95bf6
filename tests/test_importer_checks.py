"""The system checks for importers."""

import uuid
from copy import deepcopy
from itertools import count

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.core.checks import WARNING
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import models
from django.db.models import F
from django.db.models.functions import Lower, Now
from django.test.utils import isolate_apps

from imports import importer as importers
from imports.checks import list_importer_messages
from imports.importer import Column, Importer, Lookup, list_importers, register
from tests.parcels.importer import ParcelImporter


def make_importer(fields, *columns, bases=(models.Model,), **meta):
    """Make an importer with a new model of these fields."""
    options = type("Meta", (), {"app_label": "parcels", **meta})
    attributes = {"__module__": __name__, "Meta": options, **deepcopy(fields)}
    model = type(models.Model)(f"Thing{next(numbers)}", bases, attributes)
    names = {"name": "things", "model": model, "columns": columns}
    return type("Things", (Importer,), names)


def get_error_ids(importer):
    return [each for each in get_message_ids(importer) if each.startswith("E")]


def get_warning_ids(importer):
    return [each for each in get_message_ids(importer) if each.startswith("W")]


def get_message_ids(importer):
    return [each.id.removeprefix("imports.") for each in list_importer_messages(importer)]


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
        error for importer in list_importers() for error in list_importer_messages(importer)
    ] == []


def test_an_error_has_a_message_and_a_hint():
    things = make_importer({"code": make_text()}, CODE, Column("color"))

    (error,) = list_importer_messages(things)

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

    error, _ = list_importer_messages(things)
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


# --- Field types and rules ---------------------------------------------------


class SealedField(models.CharField):
    """A field that changes its value when it is saved."""

    def get_prep_value(self, value):
        return value and value[::-1]


class Upper(models.CharField):
    """A field that changes its value when it is parsed."""

    def to_python(self, value):
        return value and value.upper()


class Point(models.Field):
    def db_type(self, connection):
        return "point"


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        (models.FileField(blank=True), "after_batch"),
        (models.ImageField(blank=True), "after_batch"),
        (models.JSONField(null=True), "casts to jsonb"),
        (models.BinaryField(null=True), "casts to bytea"),
        (ArrayField(models.IntegerField(), null=True), "casts to integer[]"),
        (Point(null=True), "casts to point"),
        (SealedField(max_length=9, null=True), "casts to varchar(9)"),
    ],
)
def test_a_field_that_no_cell_fits_is_an_error(field, hint):
    fields = {"code": make_text(), "more": field}
    (error,) = [
        each
        for each in list_importer_messages(make_importer(fields, CODE, Column("more")))
        if each.id != "imports.W002"
    ]

    assert error.id == "imports.E010"
    assert hint in error.hint
    # A function of the column makes the text that PostgreSQL casts.
    assert get_error_ids(make_importer(fields, CODE, Column("more", clean=str))) == []


@pytest.mark.parametrize(
    "field",
    [
        models.URLField(null=True),
        models.UUIDField(null=True),
        models.DurationField(null=True),
        models.GenericIPAddressField(null=True),
        models.PositiveSmallIntegerField(null=True),
        models.DateTimeField(null=True),
        Upper(max_length=9, null=True),
    ],
)
def test_other_fields_are_read_from_cells(field):
    fields = {"code": make_text(), "more": field}
    assert get_error_ids(make_importer(fields, CODE, Column("more"))) == []


def test_a_many_to_many_field_has_a_hint_of_its_own():
    fields = {"code": make_text(), "others": models.ManyToManyField("self")}
    error, *_ = list_importer_messages(make_importer(fields, CODE, Column("others")))

    assert "after_batch" in error.hint


def test_a_file_that_is_required_needs_a_default():
    things = make_importer({"code": make_text(), "photo": models.FileField()}, CODE)

    (error,) = [each for each in list_importer_messages(things) if each.id == "imports.E005"]
    assert "blank=True" in error.hint


def test_prepare_beside_clean_is_an_error():
    column = Column("code", required=True, prepare=str.strip, clean=str)
    assert get_error_ids(make_importer({"code": make_text()}, column)) == ["E011"]
    for options in ({"prepare": str.strip}, {"clean": str}):
        column = Column("code", required=True, **options)
        assert get_error_ids(make_importer({"code": make_text()}, column)) == []


# --- Keys --------------------------------------------------------------------


SIZE = Column("size")
PARTIAL = {"condition": models.Q(size__gt=0)}


@pytest.mark.parametrize(
    ("constraints", "warnings"),
    [
        ([make_constraint("code")], []),
        ([make_constraint("code", "size")], []),
        ([make_constraint("code"), make_constraint("other", **PARTIAL)], []),
        ([make_constraint("code"), make_constraint("size", "other", **PARTIAL)], ["W001"]),
        ([make_constraint("code", **PARTIAL)], ["W001", "W002"]),
        ([make_constraint("code", "size", nulls_distinct=False)], ["W001"]),
        ([make_constraint("code", nulls_distinct=True)], []),
        ([models.UniqueConstraint(Lower("code"), name="lower")], ["W001", "W002"]),
        ([models.UniqueConstraint(F("code").desc(), name="order")], ["W001", "W002"]),
        ([models.UniqueConstraint(F("code"), name="plain")], ["W001", "W002"]),
        ([make_constraint("code"), models.UniqueConstraint(Lower("other"), name="lower")], []),
        ([make_constraint("code", "other")], ["W002"]),
        ([], ["W002"]),
    ],
)
def test_keys_that_find_no_duplicates_are_warnings(constraints, warnings):
    fields = {"code": make_text(), "size": models.IntegerField(null=True), "other": make_text()}
    fields["other"].blank = True

    things = make_importer(fields, CODE, SIZE, constraints=constraints)

    assert get_warning_ids(things) == warnings
    assert get_error_ids(things) == []


def test_values_of_the_import_may_complete_a_key():
    fields = {"code": make_text(), "branch": make_text(default="")}
    constraints = [make_constraint("branch", "code")]
    things = make_importer(fields, CODE, constraints=constraints)
    assert get_warning_ids(things) == ["W002"]

    things.values = classmethod(lambda cls, context: {"branch": "a"})

    assert get_warning_ids(things) == []


def test_a_warning_names_the_constraint_and_says_what_happens():
    constraints = [models.UniqueConstraint(Lower("code"), name="code_unique")]
    things = make_importer({"code": make_text()}, CODE, constraints=constraints)

    first, second = list_importer_messages(things)

    assert "does not see code_unique, because it has expressions" in first.msg
    assert "it never updates a record" in first.msg
    assert "every upload of a file creates all records again" in second.msg
    assert {first.level, second.level} == {WARNING}


def test_labels_that_several_choices_have_are_a_warning():
    size = models.CharField(max_length=1, blank=True, choices=[("a", "Box"), ("b", "Box")])
    fields = {"code": make_text(unique=True), "size": size}

    assert get_warning_ids(make_importer(fields, CODE, SIZE)) == ["W003"]
    assert get_warning_ids(make_importer(fields, CODE, Column("size", clean=str))) == []


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


def test_a_lookup_needs_a_foreign_key():
    plain = Column("code", required=True, lookup="shipping_mark")
    keyed = make_importer({"code": make_text(unique=True)}).model
    elsewhere = models.ForeignKey(keyed, models.CASCADE, to_field="code")
    column = Column("thing", required=True, lookup="code")

    assert get_error_ids(make_importer({"code": make_text()}, plain)) == ["E008"]
    assert get_error_ids(make_importer({"thing": elsewhere}, column)) == []


@pytest.mark.parametrize(
    ("lookup", "errors"),
    [
        (Lookup(("shipping_mark", "first_name")), []),
        (Lookup(("id",), ignore_case=True), []),
        (Lookup(("shipping_mark", "color")), ["E008"]),
        (Lookup(("color", "shape")), ["E008", "E008"]),
        (Lookup(()), ["E008"]),
        (Lookup("shipping_mark"), ["E008"]),
        (Lookup(("parcel",)), ["E008"]),
    ],
)
def test_the_fields_of_a_lookup_must_exist(lookup, errors):
    customer = models.ForeignKey(apps.get_model("customers", "Customer"), models.CASCADE)
    column = Column("customer", required=True, lookup=lookup)

    assert get_error_ids(make_importer({"customer": customer}, column)) == errors


@pytest.mark.parametrize("alias", ["Colour", "code", "co-de"])
def test_a_header_of_two_columns_is_an_error(alias):
    fields = {"code": make_text(), "color": make_text(null=True)}
    color = Column("color", aliases=("COLOUR!", alias))
    code = Column("code", aliases=("colour",), required=True)

    errors = list_importer_messages(make_importer(fields, code, color))

    assert {error.id for error in errors} == {"imports.E009", "imports.W002"}


def test_an_alias_may_repeat_the_columns_own_name():
    column = Column("code", aliases=("CODE", "the code", "The-Code"), required=True)

    assert get_error_ids(make_importer({"code": make_text()}, column)) == []


def test_the_parcel_importer_has_no_errors():
    assert get_error_ids(ParcelImporter) == []
