"""Imports that tests of a project run in their own process."""

import os
import re
import subprocess
import sys
import textwrap

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import TestCase

from imports.importer import get_importer
from imports.models import ImportJob
from imports.pytest_plugin import run_import  # noqa: F401  A fixture.
from imports.statuses import Status
from imports.testing import finish_import
from imports.testing import run_import as run
from tests.conftest import create_user, logged_in_client
from tests.factories import HEADERS, make_csv, make_job, make_row
from tests.parcels import importer as parcels
from tests.parcels.models import HookRecord, Parcel
from tests.processes import PROJECT, get_django_environment

ROWS = [HEADERS, make_row(1), make_row(2, phone="12"), make_row(3)]
PARCEL_HEADERS = ["Mark", "Number", "Weight"]


class CallsInTestCase(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = create_user("alice", "add_importjob")

    def test_the_function_runs_inside_the_transaction_of_a_test_case(self):
        result = run(self.user, ROWS, importer="customers")

        assert (result.status, result.counts) == ("COMPLETE", {"created": 2, "failed": 1})
        assert result.outcomes == {2: "created", 3: "failed", 4: "created"}
        assert result.error_codes == [(3, "phone", "phone_too_short")]
        assert result.errors[0]["value"] == "12"
        assert sorted(result.records.values_list("shipping_mark", flat=True)) == [
            "MARK 1",
            "MARK 3",
        ]


def test_the_fixture_needs_no_mark(run_import, alice):  # noqa: F811
    result = run_import(alice, ROWS, importer="customers")

    assert result.counts == {"created": 2, "failed": 1}
    assert connection.in_atomic_block


@pytest.mark.django_db(transaction=True)
def test_the_fixture_runs_without_a_transaction_too(run_import, alice):  # noqa: F811
    result = run_import(alice, ROWS, importer="customers")

    assert result.counts == {"created": 2, "failed": 1}
    assert not connection.in_atomic_block


@pytest.mark.django_db
def test_several_imports_in_one_transaction_see_each_other(alice):
    first = run(alice, [HEADERS, make_row(1), make_row(1)], importer="customers")
    second = run(alice, [HEADERS, make_row(1), make_row(2), make_row(2)], importer="customers")

    assert first.counts == {"created": 1, "failed": 1}
    assert second.outcomes == {2: "skipped", 3: "created", 4: "failed"}
    assert second.error_codes[0][2] == "exists"


@pytest.mark.django_db
def test_options_are_those_of_an_import(alice):
    run(alice, make_csv([make_row(1)]), importer=get_importer("customers"))

    result = run(
        alice, make_csv([make_row(1, first="Efua")]), importer="customers", on_duplicate="update"
    )

    assert result.counts == {"updated": 1}
    assert result.records.get().first_name == "Efua"


@pytest.mark.django_db
def test_a_checked_import_stops_before_the_start(alice):
    result = run(alice, ROWS, importer="customers", check_first=True, start=False)

    assert (result.status, result.counts) == ("READY", {"failed": 1})
    assert result.outcomes == {2: None, 3: "failed", 4: None}
    assert finish_import(result.job).counts == {"created": 2, "failed": 1}


@pytest.mark.django_db
def test_an_import_without_a_required_column_waits_for_a_mapping(alice):
    result = run(alice, [["Mark", "?"], ["MARK 1", "7"]], importer="parcels")

    assert result.status == Status.MAPPING
    assert result.job.error_code == "missing_columns"


@pytest.mark.django_db
def test_a_file_that_cannot_be_read_fails(alice):
    result = run(alice, b"PK\x03\x04 no workbook", importer="customers")

    assert (result.status, result.outcomes, result.errors) == (Status.FAILED, {}, [])


@pytest.mark.django_db
def test_an_upload_through_a_view_is_finished(alice):
    client = logged_in_client(alice)
    file = SimpleUploadedFile("list.csv", make_csv([make_row(1)]))
    uploaded = client.post("/api/imports/", {"file": file, "importer": "customers"}).json()

    result = finish_import(ImportJob.objects.get(pk=uploaded["id"]))

    assert result.counts == {"created": 1}
    assert client.get(f"/api/imports/{uploaded['id']}/").json()["status"] == "COMPLETE"


@pytest.mark.django_db
def test_hooks_are_called_and_their_exceptions_raised(alice, monkeypatch):
    run(alice, ROWS, importer="customers")
    rows = [PARCEL_HEADERS, ["MARK 1", "7", "1"]]

    run(alice, rows, importer="parcels")

    assert parcels.after_batch_calls[-1] == [Parcel.objects.get().pk]
    hooks = HookRecord.objects.order_by("pk").values_list("hook", flat=True)
    assert list(hooks) == ["import_started", "after_batch", "after_import", "import_finished"]

    def fail(ids, context):
        raise ZeroDivisionError

    monkeypatch.setattr(get_importer("parcels"), "after_batch", fail)
    with pytest.raises(ZeroDivisionError):
        run(alice, [PARCEL_HEADERS, ["MARK 1", "8", "1"]], importer="parcels")


# --- The transaction of the test ---------------------------------------------


@pytest.mark.django_db
def test_a_transaction_of_the_test_is_refused_with_the_reason(alice):
    with transaction.atomic(), pytest.raises(RuntimeError, match=r"inside transaction\.atomic\(\)"):
        run(alice, ROWS, importer="customers")


def get_setting(name):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return cursor.fetchone()[0]


@pytest.mark.django_db
def test_settings_of_the_transaction_are_restored(alice):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
    names = ("idle_in_transaction_session_timeout", "application_name", "work_mem")
    before = [get_setting(name) for name in names]

    run(alice, ROWS, importer="customers")

    assert get_setting("lock_timeout") == "7s"
    assert [get_setting(name) for name in names] == before


@pytest.mark.django_db
def test_constraints_are_deferred_again(alice):
    run(alice, ROWS, importer="customers")

    parcel = Parcel.objects.create(customer_id=-1, number=1, weight=1)

    parcel.delete()


@pytest.mark.django_db
def test_a_table_of_the_project_with_the_name_of_a_temporary_table_is_kept(alice):
    with connection.cursor() as cursor:
        for name in ("existing_match", "repeated_key", "candidate", "kept"):
            cursor.execute(f"CREATE TABLE public.{name} AS SELECT 1 AS number")

        run(alice, [HEADERS, make_row(1), make_row(1)], importer="customers")
        run(alice, [HEADERS, make_row(1), make_row(1)], importer="customers")

        for name in ("existing_match", "repeated_key", "candidate", "kept"):
            cursor.execute(f"SELECT number FROM public.{name}")
            assert cursor.fetchall() == [(1,)]


@pytest.mark.django_db(transaction=True)
def test_an_import_that_another_process_checks_is_reported(alice):
    job = make_job(make_csv([make_row(1)]), owner=alice)
    ImportJob.objects.filter(pk=job.pk).update(
        status=Status.CHECKING, reader_heartbeat_at="2999-01-01T00:00Z"
    )

    with pytest.raises(RuntimeError, match="Another process checks this import"):
        finish_import(job)


# --- Without Redis and in another project ------------------------------------

HOST_CONFTEST = """
    pytest_plugins = ["imports.pytest_plugin"]
"""
HOST_TESTS = """
    import logging
    import pytest
    from django.contrib.auth import get_user_model
    from customers.models import Customer

    ROWS = {rows!r}

    @pytest.fixture
    def user(db):
        return get_user_model().objects.create_user("ama")

    def test_in_a_transaction(run_import, user, caplog):
        assert run_import(user, ROWS, importer="customers").counts == {{"created": 2, "failed": 1}}
        assert Customer.objects.count() == 2
        assert caplog.records == []

    @pytest.mark.django_db(transaction=True)
    def test_with_commits(run_import, user, caplog):
        result = run_import(user, ROWS, importer="customers", check_first=True)
        assert result.counts == {{"created": 2, "failed": 1}}
        assert caplog.records == []
"""


def run_tests(folder):
    """Run the tests in the folder as those of another project, without Redis."""
    (folder / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = tests.settings\n")
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db", folder],
        cwd=folder,
        env=os.environ
        | get_django_environment()
        | {"PYTHONPATH": str(PROJECT), "REDIS_URL": "redis://localhost:1/0"},
        capture_output=True,
        text=True,
    )
    return process.stdout + process.stderr


def test_the_plugin_runs_in_another_project_without_redis(tmp_path):
    (tmp_path / "conftest.py").write_text(textwrap.dedent(HOST_CONFTEST))
    (tmp_path / "test_host.py").write_text(textwrap.dedent(HOST_TESTS).format(rows=ROWS))

    output = run_tests(tmp_path)

    assert "2 passed" in output, output


def test_the_example_of_the_page_passes(tmp_path):
    text = (PROJECT / "docs" / "python-api.md").read_text()
    for name, example in re.findall(
        r"^```python\n# (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    ):
        (tmp_path / name).write_text(example)

    output = run_tests(tmp_path)

    assert "1 passed" in output, output
