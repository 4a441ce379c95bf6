"""Idempotency keys: an upload that a client repeats creates no second import."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.db.models.functions import Now

IDEMPOTENCY_KEY_HOURS = 24  # A client may repeat an upload for this long.


class IdempotencyKey(models.Model):
    """The Idempotency-Key of one upload, and the import that the upload created.

    The key is inserted before anything else of the upload is stored. Simultaneous requests with
    the same key wait for the one that inserted it.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request_digest = models.CharField(max_length=64)  # SHA-256 of the file and its options.
    job = models.ForeignKey("imports.ImportJob", models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["owner", "key"], name="idempotency_key_unique"),
        )

    def __str__(self) -> str:
        return self.key


class IdempotencyKeyReused(Exception):
    """The Idempotency-Key was used for another upload."""


def select_expired_keys() -> models.QuerySet[IdempotencyKey]:
    """Return the keys that are older than IDEMPOTENCY_KEY_HOURS."""
    expired = Now() - timedelta(hours=IDEMPOTENCY_KEY_HOURS)
    return IdempotencyKey.objects.filter(created_at__lt=expired)


def get_or_create_key(owner: AbstractBaseUser, key: str, request: str) -> IdempotencyKey:
    """Return the owner's key, which is inserted unless it exists.

    `request` describes the upload: two uploads are the same if it is the same. Keys of the owner
    that are older than IDEMPOTENCY_KEY_HOURS are deleted first. Waits for a transaction that
    inserts the same key. `job` of the returned key is None if the key is new.

    Raises:
        IdempotencyKeyReused: The key was used for a different upload.
    """
    request_digest = hashlib.sha256(request.encode()).hexdigest()
    select_expired_keys().filter(owner=owner.pk).delete()
    stored, is_new = IdempotencyKey.objects.select_related("job").get_or_create(
        owner_id=owner.pk, key=key, defaults={"request_digest": request_digest}
    )
    if not is_new and stored.request_digest != request_digest:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used for another upload; choose a new one."
        )
    return stored
