"""The Python API: imports that a program creates, starts, cancels and follows."""

import gzip
import io
import os
import re
import zipfile
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction

from customers.models import Customer
from imports import actors, lifecycle
from imports.broker import get_broker
from imports.importer import get_importer
from imports.models import ImportJob
from imports.statuses import Status
from tests.factories import apply_all_batches, check_job, make_csv, make_job, make_row
from tests.processes import PROJECT

CONTENT = make_csv([make_row(1), make_row(2)])

pytestmark = pytest.mark.django_db


def create(user, file=None, **options):
    options = {"importer": "customers"} | options
    return lifecycle.create_import(user, file or ContentFile(CONTENT, "list.csv"), **options)


def read(job):
    with job.file.open() as file:
        return file.read()


def make_pipe():
    reader, writer = os.pipe()
    with open(writer, "wb") as file:
        file.write(CONTENT)
    return open(reader, "rb")


def open_compressed():
    return gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(CONTENT)))


def open_zipped():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("folder/list.csv", CONTENT)
    return zipfile.ZipFile(archive).open("folder/list.csv")


@pytest.fixture
def examples(tmp_path):
    """The examples of docs/python-api.md, with a file that exists."""
    (tmp_path / "customers.csv").write_bytes(CONTENT)
    text = (PROJECT / "docs" / "python-api.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [block.replace("/data/", f"{tmp_path}/") for block in blocks]


def test_the_examples_of_the_page_run(examples, alice, capsys):
    variables = {"user": alice}

    for example in examples[:3]:
        exec(example, variables)

    status, option = capsys.readouterr().out.splitlines()
    assert status == "QUEUED 0 0"
    assert option == "on_duplicate on_duplicate: 'replace' is none of skip, update, fail."
    assert ImportJob.objects.get().status == Status.CANCELLED


def test_the_page_lists_every_exception_and_function():
    text = (PROJECT / "docs" / "python-api.md").read_text()

    for name in {*lifecycle.__all__} - {"Snapshot", "upload"}:  # `upload` validates no options.
        assert f"`{name}" in text or f"{name}(" in text


# --- Files -------------------------------------------------------------------


def test_a_path_is_read(alice, tmp_path):
    (tmp_path / "list.csv").write_bytes(CONTENT)

    jobs = [create(alice, tmp_path / "list.csv"), create(alice, str(tmp_path / "list.csv"))]

    for job in jobs:
        assert (job.file_name, job.file_size, read(job)) == ("list.csv", len(CONTENT), CONTENT)


@pytest.mark.parametrize(
    "open_file",
    [
        lambda: SimpleUploadedFile("list.csv", CONTENT),
        lambda: ContentFile(CONTENT, "folder/list.csv"),
        open_zipped,
    ],
    ids=["upload", "content", "zip"],
)
def test_a_file_with_a_name_is_read_whole(open_file, alice):
    with open_file() as file:
        file.read(5)

        job = create(alice, file)

        assert not file.closed
    assert (job.file_name, job.file_size, read(job)) == ("list.csv", len(CONTENT), CONTENT)


@pytest.mark.parametrize(
    "open_file",
    [lambda: io.BytesIO(CONTENT), make_pipe, open_compressed],
    ids=["memory", "pipe", "gzip"],
)
def test_a_stream_without_a_name_is_given_one(open_file, alice):
    with open_file() as file:
        with pytest.raises(lifecycle.InvalidOption, match=r"^file_name: This file has no name\."):
            create(alice, file)

        job = create(alice, file, file_name="list.csv")

    assert (job.file_name, job.file_size, read(job)) == ("list.csv", len(CONTENT), CONTENT)


def test_the_import_is_checked_and_written_as_any_other(alice):
    job = apply_all_batches(check_job(create(alice)).pk)

    assert (job.status, job.created, job.owner) == (Status.COMPLETE, 2, alice)
    assert Customer.objects.count() == 2


# --- Options -----------------------------------------------------------------


def test_options_are_stored(alice):
    job = create(
        alice,
        importer=get_importer("customers"),
        on_duplicate="update",
        empty_cells="clear",
        check_first=True,
        sheet="May",
        encoding="cp1252",
        delimiter=";",
        hidden_rows="skip",
    )

    assert (job.importer, job.on_duplicate, job.empty_cells) == ("customers", "update", "clear")
    assert job.check_first
    assert job.read_options == {
        "sheet": "May",
        "encoding": "cp1252",
        "delimiter": ";",
        "hidden_rows": "skip",
    }


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("importer", "clients", "There is no importer 'clients'. These are: customers, parcels."),
        ("on_duplicate", "replace", "'replace' is none of skip, update, fail."),
        ("empty_cells", "delete", "'delete' is none of keep, clear."),
        ("hidden_rows", "no", "'no' is none of import, skip."),
        ("encoding", "latin-99", "Python knows no encoding 'latin-99'."),
        ("delimiter", "ab", "Give one character that is no letter, digit or quote."),
    ],
)
def test_a_wrong_option_is_named_with_what_to_do(option, value, message, alice):
    with pytest.raises(lifecycle.InvalidOption) as error:
        create(alice, **{option: value})

    assert str(error.value) == f"{option}: {message}"
    assert error.value.option == option
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (ContentFile(b"", "list.csv"), "list.csv is empty."),
        (ContentFile("a,b", "list.csv"), "list.csv is open as text. Open it in binary mode."),
        (
            ContentFile(b"x" * 1001, "list.csv"),
            "list.csv has 1,001 bytes. IMPORTS_MAX_UPLOAD_BYTES (1,000) is less.",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused(file, message, alice, settings):
    settings.IMPORTS_MAX_UPLOAD_BYTES = 1000

    with pytest.raises(lifecycle.InvalidOption) as error:
        create(alice, file)

    assert str(error.value) == f"file: {message}"


def test_a_missing_path_is_the_error_of_the_system(alice, tmp_path):
    with pytest.raises(FileNotFoundError):
        create(alice, tmp_path / "none.csv")


def test_an_idempotency_key_returns_the_first_import_and_refuses_another_file(alice):
    first, again = create(alice, idempotency_key="a"), create(alice, idempotency_key="a")

    assert again.pk == first.pk
    with pytest.raises(lifecycle.IdempotencyKeyReused):
        create(alice, ContentFile(b"a,b", "list.csv"), idempotency_key="a")


# --- Actions -----------------------------------------------------------------


@pytest.mark.parametrize("identify", [lambda job: job, lambda job: job.pk], ids=["job", "id"])
def test_an_import_is_named_by_itself_or_its_id(identify, alice):
    job = check_job(create(alice, check_first=True))

    assert lifecycle.get_snapshot(identify(job))["status"] == Status.READY
    assert lifecycle.check_again(identify(job), {"on_duplicate": "fail"}).status == Status.QUEUED
    check_job(job)
    assert lifecycle.start(identify(job)).status == Status.RUNNING
    assert lifecycle.cancel(identify(job)).status == Status.CANCELLED
    assert lifecycle.get_snapshot(identify(job))["status"] == Status.CANCELLED
    with pytest.raises(lifecycle.TransitionNotAllowed):
        lifecycle.start(identify(job))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"status": Status.RUNNING}, "status"),
        ({"sheet": "Parcels"}, "sheet"),
        ({"on_duplicate": "replace"}, "on_duplicate"),
        ({"empty_cells": None}, "empty_cells"),
        ({"on_missing_columns": ["ask"]}, "on_missing_columns"),
        ({"check_first": "no"}, "check_first"),
        ({"has_header_row": "no"}, "has_header_row"),
        ({"column_mapping": "phone"}, "column_mapping"),
        ({"read_options": None}, "read_options"),
        ({"read_options": {"format": "csv"}}, "format"),
        ({"read_options": {"sheet": 1}}, "sheet"),
        ({"read_options": {"encoding": "utf-99"}}, "encoding"),
        ({"read_options": {"delimiter": "ab"}}, "delimiter"),
        ({"read_options": {"hidden_rows": "hide"}}, "hidden_rows"),
    ],
)
def test_a_change_that_is_not_accepted_is_named(changes, option, alice):
    job = check_job(create(alice, check_first=True))

    with pytest.raises(lifecycle.InvalidOption) as caught:
        lifecycle.check_again(job, changes)

    assert caught.value.option == option
    assert lifecycle.get_snapshot(job)["status"] == Status.READY


@pytest.mark.parametrize(
    "act", [lifecycle.start, lifecycle.cancel, lifecycle.get_snapshot], ids=lambda f: f.__name__
)
def test_an_unknown_import_does_not_exist(act):
    with pytest.raises(ImportJob.DoesNotExist):
        act(uuid4())


# --- Inside a transaction of the caller --------------------------------------


def count_messages():
    broker = get_broker()
    return [broker.do_qsize(queue) for queue in actors.QUEUES]


@pytest.fixture
def empty_queues():
    for queue in actors.QUEUES:
        get_broker().flush(queue)


@pytest.mark.django_db(transaction=True)
def test_messages_are_sent_after_the_commit_of_the_caller(alice, empty_queues):
    ready = check_job(make_job(CONTENT, owner=alice, check_first=True))

    with transaction.atomic():
        create(alice)
        lifecycle.start(ready)

        assert count_messages() == [0] * len(actors.QUEUES)
    assert count_messages() == [1, 1, *[0] * (len(actors.QUEUES) - 2)]


@pytest.mark.django_db(transaction=True)
def test_a_rollback_of_the_caller_leaves_no_import_and_no_message(alice, empty_queues):
    with transaction.atomic():
        create(alice)
        transaction.set_rollback(True)

    assert not ImportJob.objects.exists()
    assert count_messages() == [0] * len(actors.QUEUES)
