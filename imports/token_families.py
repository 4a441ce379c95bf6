"""Families of tokens: all access and refresh tokens that descend from one log-in.

A refresh token is valid once, and is replaced when it is used. If a token that was replaced is used
again, two parties have it, and one of them may be a thief. The family then ends, with all of its
access tokens.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from imports.conf import app_settings
from imports.postgres import atomic


class FamilyEnded(Exception):
    """The tokens of the family are not valid any more."""


class TokenFamily(models.Model):
    """The tokens of one log-in. No token can be made from what is stored here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    # The claim `jti` of the refresh token that is valid, and of the one that it has replaced.
    refresh_id = models.CharField(max_length=64)
    replaced_id = models.CharField(max_length=64, db_default="")
    replaced_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.id)


def create_family(user: AbstractBaseUser, refresh_id: str, expires_at: datetime) -> TokenFamily:
    """Store a family with its first refresh token, and delete expired ones of the user."""
    with atomic():
        families = TokenFamily.objects.filter(user_id=user.pk)
        expired = families.filter(expires_at__lt=timezone.now())
        # Two log-ins at the same time must not wait for each other's rows.
        ids = expired.select_for_update(skip_locked=True).values_list("pk", flat=True)
        TokenFamily.objects.filter(pk__in=list(ids)).delete()
        return TokenFamily.objects.create(
            user_id=user.pk, refresh_id=refresh_id, expires_at=expires_at
        )


def replace_refresh_token(family_id: object, refresh_id: str, next_id: str) -> str:
    """Replace the refresh token `refresh_id` of a family, and return the id of the valid one.

    It is `next_id`. A client whose response was lost repeats its request: for
    IMPORTS_REFRESH_REPEAT_SECONDS it receives the id of the same token once more.

    Raises:
        FamilyEnded: The family does not exist, or has ended. It ends if `refresh_id` was replaced
            earlier than that.
    """
    with atomic():
        family = _find_families(family_id).select_for_update().first()
        if family is None or family.revoked_at is not None:
            raise FamilyEnded
        now = timezone.now()
        if refresh_id == family.refresh_id:
            family.replaced_id, family.refresh_id, family.replaced_at = refresh_id, next_id, now
            family.save()
            return next_id
        repeat_period = timedelta(seconds=app_settings.REFRESH_REPEAT_SECONDS)
        if (
            refresh_id == family.replaced_id
            and family.replaced_at is not None
            and now - family.replaced_at <= repeat_period
        ):
            return family.refresh_id
    revoke_family(family_id)  # Outside of the transaction, which the exception would roll back.
    raise FamilyEnded


def revoke_family(family_id: object) -> None:
    """End all tokens of a family. Does nothing if it has ended or does not exist."""
    _find_families(family_id).filter(revoked_at=None).update(revoked_at=Now())


def is_family_valid(family_id: object) -> bool:
    return _find_families(family_id).filter(revoked_at=None).exists()


def _find_families(family_id: object) -> models.QuerySet[TokenFamily]:
    try:
        return TokenFamily.objects.filter(pk=uuid.UUID(str(family_id)))
    except ValueError:
        return TokenFamily.objects.none()
