"""A Django storage backend that keeps uploaded files in PostgreSQL, in chunks.

The web server and the workers share the database, but no disk. A file is stored in the same
transaction as its import, so a failed upload leaves neither.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage
from django.db import models
from django.utils.deconstruct import deconstructible

from imports.postgres import atomic

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK_BYTES = 512 * 1024  # One chunk is in memory at a time.
# Uploaded files are in this folder of their storage. The purge deletes those without an import.
FILE_FOLDER = "imports"


class StoredFile(models.Model):
    """An uploaded file; its content is in its chunks."""

    name = models.CharField(max_length=300)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name"], name="stored_file_unique"),)

    def __str__(self) -> str:
        return self.name


class StoredChunk(models.Model):
    """A chunk of a stored file: CHUNK_BYTES, or less for the last one. `number` counts from 0."""

    file = models.ForeignKey(StoredFile, models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["file", "number"], name="stored_chunk_unique"),
        )

    def __str__(self) -> str:
        return f"{self.file_id}/{self.number}"


class StoredFileNotFound(FileNotFoundError):
    """There is no such stored file, or it was deleted."""


class StoredFileReader(io.RawIOBase):
    """A stored file as a binary stream. It keeps one chunk in memory."""

    def __init__(self, stored: StoredFile) -> None:
        self.size = stored.size
        self._stored_id = stored.pk
        self._position = 0
        self._chunk_number: int | None = None
        self._chunk = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        if self._position >= self.size:
            return 0
        view = memoryview(buffer)
        number, offset = divmod(self._position, CHUNK_BYTES)
        content = self._load_chunk(number)[offset : offset + len(view)]
        view[: len(content)] = content
        self._position += len(content)
        return len(content)

    def _load_chunk(self, number: int) -> bytes:
        if number != self._chunk_number:
            chunk = StoredChunk.objects.filter(file=self._stored_id, number=number).first()
            if chunk is None:
                raise StoredFileNotFound("The stored file was deleted while it was read.")
            self._chunk, self._chunk_number = bytes(chunk.content), number
        return self._chunk


@deconstructible
class DatabaseStorage(Storage):
    """Django's storage API on top of StoredFile."""

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        if mode != "rb":
            raise ValueError("Stored files are written once, by save(); open them with 'rb'.")
        stored = StoredFile.objects.filter(name=name).first()
        if stored is None:
            raise StoredFileNotFound(f"No stored file is named {name}.")
        return File(io.BufferedReader(StoredFileReader(stored), CHUNK_BYTES), name)

    def _save(self, name: str, content: File[bytes] | IO[bytes]) -> str:
        file = content if isinstance(content, File) else ContentFile(content.read())
        with atomic():
            stored = StoredFile.objects.create(name=name, size=0)
            for number, chunk in enumerate(_split_into_chunks(file)):
                StoredChunk.objects.create(file=stored, number=number, content=chunk)
                stored.size += len(chunk)
            stored.save(update_fields=["size"])
        return name

    def delete(self, name: str) -> None:
        StoredFile.objects.filter(name=name).delete()

    def exists(self, name: str) -> bool:
        return StoredFile.objects.filter(name=name).exists()

    def size(self, name: str) -> int:
        return StoredFile.objects.values_list("size", flat=True).get(name=name)

    def url(self, name: str | None) -> str:
        raise NotImplementedError("Stored files have no URL; they are sent by a view.")


def _split_into_chunks(file: File[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(CHUNK_BYTES), b"")
