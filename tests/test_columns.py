"""What a column of an importer declares: choices, rules before those of the field, lookups."""

from __future__ import annotations

import io
import logging
from contextlib import closing
from decimal import Decimal

import openpyxl
import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, models
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override

from imports import importer as importers
from imports import lifecycle
from imports.error_messages import describe_job_error_with_labels, describe_row_error
from imports.importer import Column, Importer, InvalidValue, Lookup
from imports.pipeline.failed_rows import FailedRows
from imports.pipeline.transactions import TransientError
from imports.preview import build_preview
from imports.statuses import Outcome, Status
from imports.template_workbook import write_template
from tests.conftest import logged_in_client
from tests.factories import (
    apply_all_batches,
    check_job,
    get_outcomes,
    make_csv,
    make_job,
    run_import,
)
from tests.parcels.models import Depot, Shelf

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = Column("number", required=True)


@pytest.fixture
def register_shelves(monkeypatch):
    """Return a function that registers an importer of shelves with these columns."""

    def register(*columns, **attributes):
        names = {"name": "shelves", "model": Shelf, "columns": (NUMBER, *columns)} | attributes
        monkeypatch.setitem(
            importers._registered, "shelves", type("ShelfImporter", (Importer,), names)
        )

    return register


def import_shelves(*rows, headers, **fields):
    return run_import(make_csv(rows, headers), importer="shelves", **fields)


def get_errors(job):
    rows = job.rows.exclude(errors=None).order_by("number")
    return {row.number: [(e["field"], e["code"]) for e in row.errors] for row in rows}


def get_sentences(job):
    rows = job.rows.exclude(errors=None).order_by("number")
    return [describe_row_error(error, "shelves") for row in rows for error in row.errors]


# --- Choices -----------------------------------------------------------------


def test_choices_are_imported_by_value_and_by_label(register_shelves):
    register_shelves(Column("size"), Column("material"))

    job = import_shelves(
        [1, "Small one", "Wood"],
        [2, " large   ONE ", "STAINLESS STEEL"],
        [3, "2", "st"],
        [4, "", "Not known"],
        headers=["Number", "Size", "Material"],
    )

    assert job.failed == 0
    shelves = Shelf.objects.order_by("number").values_list("size", "material")
    assert [*shelves] == [(1, "wd"), (2, "st"), (2, "st"), (1, "")]


def test_the_label_of_the_empty_choice_removes_a_value(register_shelves):
    register_shelves(Column("material"))
    headers = ["Number", "Material"]
    import_shelves([1, "Wood"], [2, "Wood"], headers=headers)

    import_shelves([1, "not known"], [2, ""], headers=headers, on_duplicate="update")

    materials = dict(Shelf.objects.values_list("number", "material"))
    assert materials == {1: "", 2: "wd"}


def test_the_error_names_the_labels(register_shelves):
    register_shelves(Column("size"))

    job = import_shelves([1, "medium"], headers=["Number", "Size"])

    assert get_sentences(job) == [
        "This value is not allowed here. Write one of: Small one, Large one."
    ]


# --- A rule before those of the field ----------------------------------------


def strip_kg(cell):
    """Return the cell without "kg"."""
    if isinstance(cell, str) and cell.startswith("about"):
        raise InvalidValue("not_exact", text=cell)
    return cell.removesuffix("kg") if isinstance(cell, str) else cell


def test_a_prepared_cell_is_cleaned_by_the_rules_of_the_field(register_shelves):
    messages = {"not_exact": "Write the exact load, not %(text)s."}
    register_shelves(Column("load", prepare=strip_kg), messages=messages)

    job = import_shelves(
        [1, "1.234,50 kg"],
        [2, "7"],
        [3, ""],
        [4, "about 7 kg"],
        [5, "1.239kg"],
        headers=["Number", "Load"],
    )

    loads = Shelf.objects.order_by("number").values_list("load", flat=True)
    assert [str(load) for load in loads] == ["1234.50", "7.00", "None"]
    assert get_sentences(job) == [
        "Write the exact load, not about 7 kg.",
        "This has too many decimals. Write it with at most 2.",
    ]


def test_a_rule_may_raise_a_validation_error(register_shelves):
    def reject(cell):
        raise ValidationError("Write %(what)s.", code="odd", params={"what": "nothing"})

    register_shelves(Column("load", prepare=reject))

    job = import_shelves([1, "7"], headers=["Number", "Load"])

    assert get_errors(job) == {2: [("load", "odd")]}
    assert get_sentences(job) == ["Write nothing."]


def test_a_bug_in_a_rule_fails_its_rows_and_is_logged_without_the_cell(register_shelves, caplog):
    def double(cell):
        return int(cell) * 2

    register_shelves(Column("load", prepare=double))

    with caplog.at_level(logging.ERROR):
        job = import_shelves([1, "5"], [2, "secret"], [3, "x"], headers=["Number", "Load"])

    assert get_outcomes(job) == {2: "created", 3: "failed", 4: "failed"}
    assert get_errors(job) == {3: [("load", "rule_failed")], 4: [("load", "rule_failed")]}
    record, count = caplog.records
    message, total = record.getMessage(), count.getMessage()
    assert "Importer shelves: the rule of column load, row " in message
    assert "test_columns.py" in message
    assert "raised ValueError in 2 rows of import" in total
    assert "secret" not in message
    assert record.exc_info is None


# --- Messages of validators --------------------------------------------------


def test_messages_of_validators_are_shown(register_shelves):
    register_shelves(Column("label"))

    job = import_shelves([100, "x"], [1, "ok"], [2, "Fine"], headers=["Number", "Label"])

    assert get_errors(job) == {
        2: [("number", "max_value"), ("label", "capital"), ("label", "min_length")],
        3: [("label", "capital"), ("label", "min_length")],
    }
    assert get_sentences(job)[:3] == [
        "Shelves have numbers up to 99.",
        "Begin x with a capital letter.",
        "Write at least 3 letters.",
    ]


# --- The template ------------------------------------------------------------


def read_template(*, language="en"):
    """Return the formats of the columns, the lists to choose from, and the notes."""
    file = io.BytesIO()
    with override(language):
        write_template(importers.get_importer("shelves"), file)
    rows, notes = openpyxl.load_workbook(file).worksheets
    formats = [rows.column_dimensions[cell.column_letter].number_format for cell in rows[1]]
    lists = [rule.formula1 for rule in rows.data_validations.dataValidation if rule.type == "list"]
    return formats, lists, [row[6].value or "" for row in notes.iter_rows(2, len(formats) + 1)]


def test_the_template_offers_the_labels(register_shelves):
    register_shelves(Column("size"), Column("material", note="The frame."))

    formats, lists, notes = read_template()

    # As text, so that a program changes no label, such as "50%".
    assert formats == ["0", "@", "@"]
    assert lists == ['"Small one,Large one"', '"Wood,Stainless  steel"']
    assert notes == [
        "",
        "One of: Small one, Large one.",
        "The frame. One of: Wood, Stainless  steel.",
    ]


def test_the_template_offers_the_values_that_a_clean_function_knows(register_shelves):
    register_shelves(Column("size", clean=str))

    assert read_template()[1:] == (['"1,2"'], ["", ""])


def test_the_template_of_a_lookup_has_no_limit(register_shelves):
    register_shelves(Column("depot", lookup=Lookup(("number", "code"))), Column("customer"))

    assert read_template() == (["0", "@", "0"], [], ["", "", ""])


def test_a_bug_in_a_rule_takes_no_page_away(register_shelves, alice):
    def fail(*arguments):
        raise RuntimeError

    lookup = Lookup(("code",), queryset=fail)
    register_shelves(
        Column("label", clean=fail),
        Column("load", prepare=fail),
        Column("depot", lookup=lookup),
        messages={"rule_failed": "The rule is 100% (%(error)s) wrong: %(error)"},
    )
    client = logged_in_client(alice)

    def assert_page(address):
        with closing(client.get(address)) as response:
            assert response.status_code == 200

    for address in (
        "/",
        "/imports/template.xlsx?importer=shelves",
        "/api/imports/template.xlsx?importer=shelves",
    ):
        assert_page(address)
    content = make_csv([[1, "a", 2, ""], [2, "", "", ""]], ["Number", "Label", "Load", "Depot"])
    job = check_job(make_job(content, importer="shelves", owner=alice, check_first=True))
    assert job.status == Status.READY
    root = f"/api/imports/{job.pk}"
    for address in (f"{root}/", f"{root}/preview/", f"{root}/rows/", f"/imports/{job.pk}/"):
        assert_page(address)
    assert_page(f"{root}/failed-rows.csv")
    assert get_errors(job) == {
        2: [("label", "rule_failed"), ("load", "rule_failed")],
        3: [("label", "rule_failed")],
    }
    job = run_import(make_csv([[1, "ACC"]], HEADERS), importer="shelves", owner=alice)
    assert job.error_code == "lookup_failed"
    for address in (f"/api/imports/{job.pk}/", f"/imports/{job.pk}/"):
        assert_page(address)


@pytest.fixture
def broken_choices(monkeypatch):
    """Let the function that lists the choices of a field raise an exception."""
    phone = "+233244000000"

    def fail():
        raise RuntimeError(phone)

    monkeypatch.setattr(Shelf._meta.get_field("material"), "choices", fail)


def test_choices_that_cannot_be_listed_take_no_page_away(
    register_shelves, alice, broken_choices, caplog
):
    register_shelves(Column("material", required=True))
    client = logged_in_client(alice)
    job = run_import(
        make_csv([[1, "red"]], ["Number", "Material"]), importer="shelves", owner=alice
    )

    assert get_errors(job) == {2: [("material", "rule_failed")]}
    for address in (
        "/",
        f"/imports/{job.pk}/",
        "/imports/template.xlsx?importer=shelves",
        "/api/importers/",
        f"/api/imports/{job.pk}/rows/",
        f"/api/imports/{job.pk}/failed-rows.csv",
    ):
        with closing(client.get(address)) as response:
            assert response.status_code == 200, address
    assert "The choices of the field parcels.Shelf.material raised RuntimeError" in caplog.text
    assert "+233244000000" not in caplog.text
    error = {"field": "material", "code": "invalid_choice", "params": {"choices": "red, blue"}}
    assert "Write one of: red, blue." in describe_row_error(error, "shelves")


def test_choices_that_cannot_be_listed_fail_an_import_with_placeholders(
    register_shelves, broken_choices, caplog
):
    register_shelves(Column("material"))

    job = import_shelves([1, "red"], headers=["Number", "Material"])

    assert (job.status, job.error_code) == (Status.FAILED, "choices_failed")
    assert job.error_params == {"columns": ["material"], "error": "RuntimeError"}
    assert "the choices of column material raised RuntimeError" in caplog.text


def test_a_rule_that_loses_the_database_while_it_lists_choices_is_retried(
    register_shelves, monkeypatch
):
    def lose():
        raise OperationalError from ConnectionError()  # As Django does for errors of a driver.

    monkeypatch.setattr(Shelf._meta.get_field("material"), "choices", lose)
    register_shelves(Column("material"))
    job = make_job(make_csv([[1, "red"]], ["Number", "Material"]), importer="shelves")

    with pytest.raises(TransientError):
        check_job(job)

    job.refresh_from_db()
    assert (job.status, job.reader_crashes) == (Status.CHECKING, 0)


def test_choices_without_a_database_are_not_taken_for_a_bug(register_shelves, alice, monkeypatch):
    def lose():
        raise OperationalError

    monkeypatch.setattr(Shelf._meta.get_field("material"), "choices", lose)
    register_shelves(Column("material", required=True))

    response = logged_in_client(alice).get("/api/importers/")

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


def test_parameters_of_an_error_can_be_stored_as_json(register_shelves):
    def reject(cell):
        raise InvalidValue("odd", a=float("nan"), b=float("inf"), c=[1], d=True, e=None)

    register_shelves(Column("load", prepare=reject))

    job = import_shelves([1, "7"], headers=["Number", "Load"])

    params = job.rows.get().errors[0]["params"]
    assert params == {"a": "nan", "b": "inf", "c": "[1]", "d": True, "e": "None"}


def test_a_rule_that_loses_the_database_is_retried(register_shelves):
    def lose(cell):
        connection.close()
        raise OperationalError from ConnectionError()  # As Django does for errors of a driver.

    register_shelves(Column("load", prepare=lose))
    job = make_job(make_csv([[1, "7"]], ["Number", "Load"]), importer="shelves")

    with pytest.raises(TransientError):
        check_job(job)

    job.refresh_from_db()
    assert (job.status, job.reader_crashes) == (Status.CHECKING, 0)


@pytest.mark.parametrize("prepared", [Decimal("7.5"), 7.5, "7,5", " 7.50 "])
def test_a_prepared_cell_may_be_a_number(register_shelves, prepared):
    register_shelves(Column("load", prepare=lambda cell: prepared))

    import_shelves([1, "x"], headers=["Number", "Load"])

    assert Shelf.objects.get().load == Decimal("7.5")


def test_an_empty_cell_is_not_prepared(register_shelves):
    seen = []

    def remember(cell):
        """Return None, so that the cell becomes empty."""
        seen.append(cell)

    register_shelves(Column("load", prepare=remember))

    import_shelves([1, " "], [2, "n/a"], [3, "7"], headers=["Number", "Load"])

    assert not {None, " ", "n/a"} & set(seen)
    assert "7" in seen
    assert Shelf.objects.filter(load=None).count() == 3


def test_what_is_no_cell_fails_the_row(register_shelves):
    register_shelves(Column("load", prepare=lambda cell: [cell]))

    job = import_shelves([1, "x"], headers=["Number", "Load"])

    assert get_errors(job) == {2: [("load", "wrong_prepare_result")]}
    (sentence,) = get_sentences(job)
    assert "returned a value of the type list, but it must return text, a number" in sentence


# --- Lookups -----------------------------------------------------------------

ACCRA = {"code": "ACC", "name": "Accra", "number": 7}
TEMA = {"code": "TEM", "name": "Tema", "number": 8}
HEADERS = ["Number", "Depot"]


@pytest.fixture
def accra():
    return Depot.objects.create(**ACCRA)


@pytest.fixture
def tema():
    return Depot.objects.create(**TEMA)


def get_depots():
    return dict(Shelf.objects.order_by("number").values_list("number", "depot__code"))


def test_a_cell_may_hold_the_value_of_any_field_of_a_lookup(register_shelves, accra, tema):
    register_shelves(Column("depot", lookup=Lookup(fields=("code", "name", "number"))))

    job = import_shelves(
        [1, "ACC"], [2, "Accra"], [3, "8.00"], [4, ""], [5, "acc"], headers=HEADERS
    )

    assert get_depots() == {1: "ACC", 2: "ACC", 3: "TEM", 4: None}
    assert get_errors(job) == {6: [("depot", "not_found")]}
    assert get_sentences(job)[0].startswith("There is no depot with this code, name or number.")
    with override("fr"):
        assert "code, name ou number" in get_sentences(job)[0]


def test_a_lookup_may_ignore_case(register_shelves, accra, tema):
    lookup = Lookup(fields=("code", "name"), ignore_case=True)
    register_shelves(Column("depot", lookup=lookup))
    Depot.objects.create(code="tem", name="Another")

    job = import_shelves([1, "acc"], [2, "ACCRA"], [3, "TEM"], [4, "Tem"], headers=HEADERS)

    # A record with exactly the text precedes those that differ in case.
    assert get_depots() == {1: "ACC", 2: "ACC", 3: "TEM"}
    assert get_errors(job) == {5: [("depot", "ambiguous_lookup")]}
    assert get_sentences(job) == [
        "More than one depot has this code or name: there are 2. Write a value that only one of "
        "them has."
    ]


def test_a_cell_that_names_several_records_is_an_error(register_shelves, accra):
    Depot.objects.create(code="Accra", name="East")
    register_shelves(Column("depot", lookup=Lookup(fields=("code", "name"))))

    job = import_shelves([1, "Accra"], [2, "ACC"], headers=HEADERS)

    assert get_depots() == {2: "ACC"}
    assert get_errors(job) == {2: [("depot", "ambiguous_lookup")]}


def test_a_lookup_finds_only_records_of_its_queryset(register_shelves, alice, bob, accra, tema):
    Depot.objects.filter(pk=accra.pk).update(owner=alice)
    Depot.objects.filter(pk=tema.pk).update(owner=bob)
    seen = []

    def list_own_depots(context):
        seen.append(context)
        return Depot.objects.filter(owner=context.user)

    register_shelves(Column("depot", lookup=Lookup(("code",), queryset=list_own_depots)))
    content = make_csv([[1, "ACC"], [2, "TEM"]], HEADERS)
    job = make_job(content, importer="shelves", owner=alice, check_first=True)

    check_job(job)

    assert {(context.import_id, context.user) for context in seen} == {(job.pk, alice)}
    preview = build_preview(job, alice)
    assert (preview["created"], preview["failed"]) == (1, 1)
    assert preview["creates"][0]["values"]["depot"] == str(accra.pk)
    lifecycle.start(job.pk)
    apply_all_batches(job.pk)
    assert get_depots() == {1: "ACC"}
    assert get_errors(job) == {3: [("depot", "not_found")]}


def test_a_lookup_finds_the_record_of_an_update(register_shelves, accra, tema):
    register_shelves(Column("depot", lookup=Lookup(("code", "name"))))
    import_shelves([1, "ACC"], [2, "ACC"], headers=HEADERS)

    job = import_shelves(
        [1, "Tema"], [2, "Accra"], [3, "Tema"], headers=HEADERS, on_duplicate="update"
    )

    assert get_outcomes(job) == {2: "updated", 3: "unchanged", 4: "created"}
    assert get_depots() == {1: "TEM", 2: "ACC", 3: "TEM"}


def test_a_rule_over_a_row_gets_the_value_that_the_cell_names(register_shelves, accra):
    seen = []
    lookup = Lookup(("number", "code"))
    register_shelves(
        Column("depot", lookup=lookup), check_row=staticmethod(lambda values: seen.append(values))
    )

    import_shelves([1, "7"], [2, "ACC"], [3, ""], headers=HEADERS)

    assert [values["depot"] for values in seen] == [7, "ACC", None]


def test_columns_are_looked_up_with_few_queries(register_shelves, accra):
    lookup = Lookup(("code", "name"), ignore_case=True)
    register_shelves(Column("depot", lookup=lookup))
    rows = [[number, ("acc", "ACCRA", "nowhere")[number % 3]] for number in range(1, 91)]
    job = make_job(make_csv(rows, HEADERS), importer="shelves")

    with CaptureQueriesContext(
        connection,
    ) as queries:
        check_job(job)

    found = [query for query in queries if 'FROM "parcels_depot"' in query["sql"]]
    assert len(found) == 2
    assert job.checked == 90
    assert job.failed == 30


def test_a_queryset_that_raises_fails_the_import(register_shelves, accra, caplog):
    def fail(context):
        raise ValueError(str(context.import_id))

    register_shelves(Column("depot", lookup=Lookup(("code",), queryset=fail)))

    with caplog.at_level(logging.ERROR):
        job = import_shelves([1, "ACC"], headers=HEADERS)

    assert (job.status, job.error_code) == (Status.FAILED, "lookup_failed")
    assert job.error_params == {"columns": ["depot"], "error": "ValueError"}
    assert describe_job_error_with_labels("shelves", job.error_code, job.error_params) == (
        "The records for the column Depot could not be looked up (ValueError). Contact an "
        "administrator."
    )
    assert "test_columns.py" in caplog.text
    assert f"the lookup of column depot in import {job.pk}" in caplog.text


@pytest.mark.parametrize(
    ("code", "make_records", "sentence"),
    [
        # It has the fields id and number, too.
        ("wrong_lookup_model", lambda context: Shelf.objects.all(), "a queryset of Shelf"),
        ("wrong_lookup_result", lambda context: [*Depot.objects.all()], "of the type list"),
        ("wrong_lookup_result", lambda context: None, "of the type NoneType"),
    ],
)
def test_a_queryset_of_a_wrong_type_fails_the_import(
    register_shelves, caplog, code, make_records, sentence
):
    register_shelves(Column("depot", lookup=Lookup(("number",), queryset=make_records)))

    job = import_shelves([1, 7], headers=HEADERS)

    assert (job.status, job.error_code) == (Status.FAILED, code)
    told = describe_job_error_with_labels("shelves", job.error_code, job.error_params)
    assert "for the column Depot" in told
    assert sentence in told
    assert "must return a queryset of Depot" in told
    assert "rule: tests.test_columns.<lambda>" in caplog.text


@pytest.mark.parametrize(
    "make_records",
    [
        lambda context: Depot.objects.filter(color="red"),
        lambda context: Depot.objects.all()[:5],
        lambda context: Depot.objects.extra(where=["no_such_column = 1"]),
    ],
)
def test_a_queryset_that_cannot_be_used_fails_the_import(register_shelves, make_records):
    register_shelves(Column("depot", lookup=Lookup(("number",), queryset=make_records)))

    job = import_shelves([1, 7], headers=HEADERS)

    assert (job.status, job.error_code) == (Status.FAILED, "lookup_failed")


def test_a_failed_row_names_the_record_as_the_file_does(register_shelves, accra, tema):
    Depot.objects.filter(pk=tema.pk).update(code="")
    register_shelves(Column("depot", lookup=Lookup(("code", "name"))))

    job = import_shelves([1, "ACC"], [1, "Accra"], [1, "Tema"], headers=HEADERS)

    rows = FailedRows(job).iterate_rows(Outcome.FAILED)
    assert [row.cells[:2] for row in rows] == [["1", "ACC"], ["1", "Tema"]]


def test_without_a_lookup_a_cell_holds_the_primary_key(register_shelves, accra):
    register_shelves(Column("depot"))

    job = import_shelves([1, accra.pk], [2, accra.pk + 1], [3, "x"], headers=HEADERS)

    assert get_depots() == {1: "ACC"}
    assert get_errors(job) == {
        3: [("depot", "not_found")],
        4: [("depot", "invalid_whole_number")],
    }
    assert get_sentences(job)[0].startswith("There is no depot with this ID.")


@pytest.mark.parametrize("cell", [10**30, "9" * 30, -1])
def test_a_key_that_no_record_can_have_is_an_error_of_its_row(register_shelves, accra, cell):
    register_shelves(Column("depot"))

    job = import_shelves([1, accra.pk], [2, cell], headers=HEADERS)

    assert get_outcomes(job) == {2: "created", 3: "failed"}


def test_a_foreign_key_without_a_constraint_may_hold_any_key():
    class Bin(models.Model):
        depot = models.ForeignKey(Depot, models.DO_NOTHING, db_constraint=False)

        class Meta:
            app_label = "bins"

        def __str__(self):
            return ""

    assert importers.get_lookup(Bin, Column("depot")) is None


# --- All errors of a row -----------------------------------------------------


def test_a_row_names_all_its_errors_in_the_order_of_the_columns(register_shelves, accra):
    register_shelves(
        Column("depot", lookup="code"), Column("customer", lookup="shipping_mark"), Column("load")
    )
    headers = ["Number", "Depot", "Customer", "Load"]

    job = import_shelves(
        ["x", "NOWHERE", "NOBODY", "heavy"], [1, "ACC", "NOBODY", "7"], headers=headers
    )

    assert get_errors(job) == {
        2: [
            ("number", "invalid_whole_number"),
            ("depot", "not_found"),
            ("customer", "not_found"),
            ("load", "invalid_number"),
        ],
        3: [("customer", "not_found")],
    }
    assert [error["value"] for error in job.rows.get(number=2).errors] == [
        "x",
        "NOWHERE",
        "NOBODY",
        "heavy",
    ]


def test_a_value_that_cannot_be_stored_is_not_looked_up(register_shelves, accra):
    register_shelves(Column("depot", lookup="code", clean=lambda cell: f"{cell}\x00"))

    job = import_shelves([1, "ACC"], headers=HEADERS)

    assert get_errors(job) == {2: [("depot", "forbidden_character")]}
