"""What is remembered for those who import: their names for uploads, and their answers."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class IdempotencyKey(models.Model):
    """A client's own name for one upload, so that asking again changes nothing.

    Inserted before anything is stored: of simultaneous posts all but one wait for it.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)  # Of the body: the same key with another is an error.
    job = models.ForeignKey("imports.ImportJob", models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["owner", "key"], name="idempotency_key_unique"),
        )

    def __str__(self) -> str:
        return self.key


class RememberedMapping(models.Model):
    """Which column is which in files with these headers, as the owner of one has told.

    Holds positions and a digest, no word of a file; it goes with its owner's account.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    importer = models.CharField(max_length=50)
    digest = models.CharField(max_length=64)  # Of the headers, in order.
    positions = models.JSONField()  # As ImportJob.column_mapping.
    answered_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["owner", "importer", "digest"], name="remembered_mapping_unique"
            ),
        )

    def __str__(self) -> str:
        return self.importer
