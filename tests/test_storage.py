"""The storage backend that keeps uploaded files in PostgreSQL."""

import os

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import transaction

from imports.models import StoredChunk, StoredFile, import_storage
from imports.postgres import atomic, get_alias
from imports.storage import CHUNK_BYTES, DatabaseStorage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def storage():
    return DatabaseStorage()


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5]
)
def test_a_stored_file_has_the_content_that_was_saved(storage, size):
    content = os.urandom(size)

    name = storage.save("file", ContentFile(content))

    with storage.open(name) as file:
        assert file.read() == content
    assert storage.size(name) == size
    assert StoredChunk.objects.count() == -(-size // CHUNK_BYTES)


def test_a_file_can_be_read_from_any_position(storage):
    content = os.urandom(2 * CHUNK_BYTES + 100)
    name = storage.save("file", ContentFile(content))

    with storage.open(name) as file:
        file.seek(CHUNK_BYTES - 10)
        across_two_chunks = file.read(20)
        file.seek(-5, os.SEEK_END)
        last = file.read()

    assert across_two_chunks == content[CHUNK_BYTES - 10 : CHUNK_BYTES + 10]
    assert last == content[-5:]


def test_two_files_with_the_same_name_are_both_kept(storage):
    names = {storage.save("file", ContentFile(content)) for content in (b"one", b"two")}

    assert len(names) == 2
    assert {storage.open(name).read() for name in names} == {b"one", b"two"}


def test_a_deleted_file_leaves_no_chunks(storage):
    name = storage.save("file", ContentFile(b"bytes"))

    storage.delete(name)

    assert not storage.exists(name)
    assert not StoredChunk.objects.exists()


def test_a_file_stored_in_a_transaction_that_is_rolled_back_does_not_exist(storage):
    with atomic():
        storage.save("file", ContentFile(b"bytes"))
        transaction.set_rollback(True, using=get_alias())

    assert not StoredFile.objects.exists()


def test_opening_an_unknown_file_raises_file_not_found(storage):
    with pytest.raises(FileNotFoundError, match="nothing"):
        storage.open("nothing")


def test_a_stored_file_cannot_be_opened_for_writing(storage):
    name = storage.save("file", ContentFile(b"bytes"))

    with pytest.raises(ValueError, match="written once"):
        storage.open(name, "wb")


def test_files_are_stored_in_the_database_unless_the_project_names_a_storage(settings):
    assert isinstance(import_storage(), DatabaseStorage)

    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = settings.STORAGES | {"uploads": backend}
    settings.IMPORTS_STORAGE = "uploads"

    assert isinstance(import_storage(), FileSystemStorage)
