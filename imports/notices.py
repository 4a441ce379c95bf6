"""The models of notices: e-mails and webhooks that tell that an import has ended.

A notice is a row that is inserted after the final status was committed, and that stays as the log
of its delivery. `imports.notice_delivery` creates and sends notices.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from imports.conf import app_settings
from imports.webhook_client import MAX_URL_CHARS, ForbiddenTarget, validate_url

SECRET_PREFIX = "whsec_"
SALT_CHARS = 32


def make_salt() -> str:
    return secrets.token_hex(SALT_CHARS // 2)


class WebhookEndpoint(models.Model):
    """An address that receives a signed POST when an import has ended.

    Its secret is not stored. It is computed from SECRET_KEY and a random salt, so that neither a
    copy of the database nor a page of the admin holds it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    url = models.CharField(
        _("address"),
        max_length=MAX_URL_CHARS,
        help_text=_("An https address of another site. It may hold a secret: do not share it."),
    )
    importer = models.CharField(
        _("importer"),
        max_length=50,
        blank=True,
        help_text=_("Only imports of this importer. Empty: all imports."),
    )
    is_active = models.BooleanField(_("active"), default=True)
    salt = models.CharField(max_length=SALT_CHARS, default=make_salt, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        ordering = ("name",)
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            validate_url(self.url, allow_private=app_settings.WEBHOOK_PRIVATE_TARGETS)
        except ForbiddenTarget:
            raise ValidationError(
                {
                    "url": _(
                        "This address is not part of the public internet. The setting "
                        "IMPORTS_WEBHOOK_PRIVATE_TARGETS allows such addresses."
                    )
                }
            ) from None
        except ValueError:
            raise ValidationError(
                {"url": _("Enter an https address without a user name and without a fragment.")}
            ) from None

    def make_secrets(self) -> list[str]:
        """Return the secret, and the secrets of the keys in SECRET_KEY_FALLBACKS.

        A notice is signed with each of them, so a receiver accepts it before and after a change of
        SECRET_KEY.
        """
        return [
            self._make_secret(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        ]

    def _make_secret(self, key: str) -> str:
        text = f"imports webhook {self.pk} {self.salt}".encode()
        digest = hmac.new(key.encode(), text, hashlib.sha256).digest()
        return SECRET_PREFIX + base64.b64encode(digest).decode()


class NoticeKind(models.TextChoices):
    """How a notice is sent."""

    EMAIL = "email", _("e-mail")
    WEBHOOK = "webhook", _("webhook")


class Notice(models.Model):
    """One e-mail or one webhook about the end of an import, and the log of its delivery.

    It holds no address, no text of the message and no text of a response.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # None for the test of an endpoint.
    job = models.ForeignKey(
        "imports.ImportJob",
        models.CASCADE,
        null=True,
        related_name="notices",
        verbose_name=_("import"),
    )
    kind = models.CharField(_("kind"), max_length=7, choices=NoticeKind)
    endpoint = models.ForeignKey(
        WebhookEndpoint,
        models.CASCADE,
        null=True,
        related_name="notices",
        verbose_name=_("webhook"),
    )
    # An import that ends again after a retry or an undo has a further notice.
    ended_at = models.DateTimeField(_("import ended"), db_default=Now())
    # The body of a webhook: the snapshot of the import at its end. Each attempt sends the same.
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    # When to make the next attempt. It is moved before each attempt, so that other workers make
    # no second attempt at the same time.
    due_at = models.DateTimeField(_("next attempt"), db_default=Now())
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    # Why the last attempt failed: a code, or the class of an exception.
    error = models.CharField(_("error"), max_length=100, db_default="")
    response_status = models.PositiveSmallIntegerField(_("status of the response"), null=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True)
    gave_up_at = models.DateTimeField(_("given up"), null=True)

    class Meta:
        ordering = ("-created_at", "pk")
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = (
            models.UniqueConstraint(
                fields=["job", "kind", "endpoint", "ended_at"],
                name="notice_once_for_each_end",
                nulls_distinct=False,
                condition=Q(job__isnull=False),
            ),
            models.CheckConstraint(
                name="notice_webhook_has_endpoint",
                condition=Q(kind="webhook", endpoint__isnull=False)
                | Q(kind="email", endpoint=None, job__isnull=False),
            ),
        )
        indexes = (
            models.Index(
                fields=["due_at"],
                name="notice_due",
                condition=Q(delivered_at=None, gave_up_at=None),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
