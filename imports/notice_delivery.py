"""Notices: e-mails to owners and signed webhooks, after an import has ended.

The worker that handles the end of an import (see `imports.hooks`) creates the notices. A hook call
is committed with the final status, so no end is lost and none that was rolled back is told. Workers
send the notices with messages of their own. A notice that fails is sent again after pauses that
grow, and is then given up. Nothing of this changes the import.

Webhooks have the format of Standard Webhooks.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import django
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models import Q
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import override
from standardwebhooks import Webhook

from imports.conf import app_settings
from imports.error_log import log_error
from imports.models import ImportJob
from imports.notices import Notice, NoticeKind, WebhookEndpoint
from imports.snapshots import build_snapshot, format_time
from imports.statuses import Status
from imports.webhook_client import RequestFailed, post

log = logging.getLogger(__name__)

EMAIL_TIMEOUT_SECONDS = 10
MAX_ERROR_CHARS = 100
# The types of events, as Standard Webhooks recommends: full-stop delimited.
EVENT_TYPES = {
    Status.COMPLETE: "import.completed",
    Status.CANCELLED: "import.cancelled",
    Status.FAILED: "import.failed",
    Status.UNDONE: "import.undone",
}
TEST_EVENT_TYPE = "webhook.test"
GONE = 410

# statement_timestamp() as in `imports.hooks`. The pause is that of the attempt that begins.
CLAIM = """
UPDATE imports_notice
   SET attempts = attempts + 1,
       due_at = statement_timestamp() + interval '1 second'
                * (%(pauses)s::float[])[least(attempts + 1, cardinality(%(pauses)s::float[]))]
 WHERE id = (
       SELECT id FROM imports_notice
        WHERE due_at <= statement_timestamp() AND delivered_at IS NULL AND gave_up_at IS NULL
          AND (%(only)s::uuid IS NULL OR id = %(only)s::uuid)
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""


# --- Creating ----------------------------------------------------------------


def create_notices(job: ImportJob) -> None:
    """Create the notices of an import that has ended. A second call creates none.

    Changes nothing for an import that somebody has begun again meanwhile, or for a preview.
    """
    if job.finished_at is None or job.is_preview or job.status not in EVENT_TYPES:
        return
    notices = []
    if app_settings.EMAIL_OWNERS and job.owner is not None and _get_address(job.owner):
        notices.append(Notice(job=job, kind=NoticeKind.EMAIL, ended_at=job.finished_at))
    for endpoint in WebhookEndpoint.objects.filter(
        Q(importer="") | Q(importer=job.importer), is_active=True
    ):
        notices.append(
            Notice(
                job=job,
                kind=NoticeKind.WEBHOOK,
                endpoint=endpoint,
                ended_at=job.finished_at,
                payload=build_payload(job),
            )
        )
    if notices:
        Notice.objects.bulk_create(notices, ignore_conflicts=True)


def create_test(endpoint: WebhookEndpoint) -> Notice:
    """Create a webhook without an import, to test an endpoint."""
    payload = {
        "type": TEST_EVENT_TYPE,
        "timestamp": format_time(datetime.now(UTC)),
        "data": {"endpoint": str(endpoint.pk)},
    }
    return Notice.objects.create(kind=NoticeKind.WEBHOOK, endpoint=endpoint, payload=payload)


def send_again(notice: Notice) -> None:
    """Let a notice be sent now, also one that was given up or delivered."""
    Notice.objects.filter(pk=notice.pk).update(
        due_at=Now(), attempts=0, delivered_at=None, gave_up_at=None, error="", response_status=None
    )


def build_payload(job: ImportJob) -> dict[str, Any]:
    """Return the body of the webhook of an import that has ended. It has no personal data."""
    assert job.finished_at is not None
    snapshot = {name: value for name, value in build_snapshot(job).items() if name != "live"}
    return {
        "type": EVENT_TYPES[Status(job.status)],
        "timestamp": format_time(job.finished_at),
        "data": {
            **snapshot,
            "importer": job.importer,
            "url": build_page_url(job.pk),
        },
    }


def build_page_url(job_id: UUID) -> str | None:
    """Return the address of the page of an import; None if the site has named no address."""
    site = app_settings.SITE_URL.rstrip("/")
    return f"{site}{reverse('imports:detail', args=[job_id])}" if site else None


def _get_address(user: Any) -> str:
    """Return the e-mail address of an active user; "" if there is none."""
    name = type(user).get_email_field_name()
    return str(getattr(user, name, "") or "") if user.is_active else ""


# --- Sending -----------------------------------------------------------------


def has_due_notices() -> bool:
    """Whether a notice can be sent now."""
    return Notice.objects.filter(due_at__lte=Now(), delivered_at=None, gave_up_at=None).exists()


def send_due_notices(
    only: UUID | None = None, *, should_stop: Callable[[], bool] = lambda: False
) -> None:
    """Send the notices that are due, or only one of them. A failure is logged and stored.

    Raises:
        Error: The database is not available.
    """
    while not should_stop() and (notice := _claim_notice(only)):
        try:
            status = _send(notice)
        except RequestFailed as failure:
            _record_failure(notice, failure.code, failure.status)
        except Exception as error:  # Of a mail backend. Its text may quote an address.
            log_error(log, f"notice {notice.pk}", error)
            _record_failure(notice, type(error).__name__)
        else:
            Notice.objects.filter(pk=notice.pk).update(
                delivered_at=Now(), response_status=status, error=""
            )


def _claim_notice(only: UUID | None) -> Notice | None:
    parameters = {"pauses": [*map(float, app_settings.NOTICE_RETRY_SECONDS)], "only": only}
    return next(iter(Notice.objects.raw(CLAIM, parameters)), None)


def _record_failure(notice: Notice, error: str, status: int | None = None) -> None:
    """Store why an attempt failed, and give the notice up after the last one.

    A test, which belongs to no import, has one attempt: someone waits for its result. An endpoint
    that answers 410 wants no more notices, and is made inactive.
    """
    own = Notice.objects.filter(pk=notice.pk)
    own.update(error=error[:MAX_ERROR_CHARS], response_status=status)
    log.warning("notice %s was not delivered (%s, attempt %s)", notice.pk, error, notice.attempts)
    if status == GONE and notice.endpoint is not None:
        WebhookEndpoint.objects.filter(pk=notice.endpoint.pk).update(is_active=False)
    is_last = notice.job_id is None or notice.attempts > len(app_settings.NOTICE_RETRY_SECONDS)
    if status == GONE or is_last:
        own.update(gave_up_at=Now())
        log.error("notice %s is given up: no attempt has succeeded", notice.pk)


def _send(notice: Notice) -> int | None:
    """Send a notice; return the status of the response, or None for an e-mail.

    Raises:
        RequestFailed: It could not be delivered.
        Exception: Whatever the mail backend raises.
    """
    if notice.kind == NoticeKind.WEBHOOK:
        return _send_hook(notice)
    _send_email(notice)
    return None


def _send_hook(notice: Notice) -> int:
    endpoint = notice.endpoint
    assert endpoint is not None  # A constraint of the database.
    if not endpoint.is_active and notice.job_id is not None:
        raise RequestFailed("not_active")
    body = json.dumps(notice.payload, separators=(",", ":"))
    sent_at = datetime.now(UTC)
    message_id = str(notice.pk)
    signatures = [
        Webhook(secret).sign(message_id, sent_at, body) for secret in endpoint.make_secrets()
    ]
    return post(
        endpoint.url,
        body.encode(),
        {
            "Content-Type": "application/json",
            "User-Agent": "django-live-imports",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": " ".join(signatures),
        },
        timeout_seconds=app_settings.WEBHOOK_TIMEOUT_SECONDS,
        allow_private=app_settings.WEBHOOK_PRIVATE_TARGETS,
    )


def _send_email(notice: Notice) -> None:
    """Send the e-mail to the owner, who may have lost the account or the address meanwhile.

    Raises:
        RequestFailed: There is no address.
        Exception: Whatever the mail backend raises.
    """
    job = notice.job
    address = _get_address(job.owner) if job is not None and job.owner is not None else ""
    if job is None or not address:
        raise RequestFailed("no_address")
    with override(app_settings.EMAIL_LANGUAGE or settings.LANGUAGE_CODE):
        context = {
            "job": job,
            "url": build_page_url(job.pk),
            "left": (job.total or 0) - job.processed,
        }
        subject = render_to_string("imports/email/subject.txt", context)
        text = render_to_string("imports/email/body.txt", context)
        html = render_to_string("imports/email/body.html", context)
    message = EmailMultiAlternatives(
        " ".join(subject.split()),
        text.strip() + "\n",
        to=[address],
        # Answers of "out of office" assistants are not wanted.
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(html, "text/html")
    if django.VERSION >= (6, 1):  # The time limit is in MAILERS. `get_connection` is deprecated.
        message.send()
    else:
        get_connection(timeout=EMAIL_TIMEOUT_SECONDS).send_messages([message])
