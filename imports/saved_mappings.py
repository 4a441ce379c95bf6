"""Column mappings that were chosen by a person, kept for the next file with the same headers."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class SavedMapping(models.Model):
    """The column mapping that an owner chose for files with certain headers.

    It holds column positions and a digest of the headers, and no text of a file. It is deleted
    with its owner's account.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    importer = models.CharField(max_length=50)
    headers_digest = models.CharField(max_length=64)  # SHA-256 of the headers, in their order.
    positions = models.JSONField()  # The same shape as `ImportJob.column_mapping`.
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["owner", "importer", "headers_digest"], name="saved_mapping_unique"
            ),
        )

    def __str__(self) -> str:
        return self.importer
