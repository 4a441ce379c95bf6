"""Test the notices of the end of an import: e-mails to owners and signed webhooks."""

import json
import logging
from datetime import timedelta

import django
import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.db.models import F
from django.db.models.functions import Now
from django.test import override_settings
from django.urls import reverse
from standardwebhooks import Webhook, WebhookVerificationError

from imports import actors, hooks, lifecycle, notice_delivery
from imports.conf import AppSettings
from imports.history import SYSTEM
from imports.models import HookCall, ImportJob, Notice, WebhookEndpoint
from imports.pipeline import batch_applier
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.processes import wait_for, worker
from tests.webhook_receiver import running_receiver

FAILING_BACKEND = "tests.failing_mail.Backend"
FAILING_MAIL = (
    {"MAILERS": {"default": {"BACKEND": FAILING_BACKEND}}}
    if django.VERSION >= (6, 1)
    else {"EMAIL_BACKEND": FAILING_BACKEND}
)
pytestmark = pytest.mark.django_db(transaction=True)

RETRIES = len(AppSettings.NOTICE_RETRY_SECONDS.default)
CANARY = "canary"


@pytest.fixture(autouse=True)
def notice_settings(settings):
    settings.IMPORTS_SITE_URL = "https://imports.example.com/"
    settings.IMPORTS_WEBHOOK_PRIVATE_TARGETS = True
    return settings


@pytest.fixture
def receiver():
    with running_receiver() as server:
        yield server


@pytest.fixture
def endpoint(receiver, db):
    return WebhookEndpoint.objects.create(name="Warehouse", url=receiver.url())


@pytest.fixture
def owner(alice):
    alice.email = "owner@example.com"
    alice.save()
    return alice


def run_noticed_import(**fields) -> ImportJob:
    """Run an import with a failed row, and create the notices of its end."""
    rows = [make_row(1, mark=CANARY), make_row(2, phone=CANARY)]
    job = run_import(make_csv(rows), **fields)
    ImportJob.objects.filter(pk=job.pk).update(file_name=f"{CANARY}.csv")
    hooks.call_due_hooks()
    return job


def make_due_again():
    Notice.objects.update(due_at=Now())


def fail_all_attempts():
    for _ in range(RETRIES + 1):
        make_due_again()
        notice_delivery.send_due_notices()


# --- Webhooks ----------------------------------------------------------------


def test_a_webhook_is_signed_as_standard_webhooks_says(endpoint, receiver):
    job = run_noticed_import()

    notice_delivery.send_due_notices()

    (request,) = receiver.requests
    assert request.path == "/hook?key=URLSECRET"
    (secret,) = endpoint.make_secrets()
    payload = Webhook(secret).verify(request.body, request.headers)
    assert payload["type"] == "import.completed"
    assert payload["data"]["id"] == str(job.pk)
    assert payload["data"]["failed"] == 1
    assert payload["data"]["url"] == f"https://imports.example.com/imports/{job.pk}/"
    notice = Notice.objects.get()
    assert request.headers["webhook-id"] == str(notice.pk)
    assert notice.delivered_at
    assert (notice.attempts, notice.response_status, notice.error) == (1, 200, "")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(request.body + b" ", request.headers)


def test_a_webhook_is_signed_with_old_keys_too(endpoint, receiver, settings):
    (old_secret,) = endpoint.make_secrets()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a-new-key"
    run_noticed_import()

    notice_delivery.send_due_notices()

    (request,) = receiver.requests
    for secret in (old_secret, endpoint.make_secrets()[0]):
        assert Webhook(secret).verify(request.body, request.headers)


def test_a_webhook_holds_no_personal_data(endpoint, receiver):
    run_noticed_import()

    notice_delivery.send_due_notices()

    assert CANARY not in receiver.requests[0].body.decode()
    assert b"alice" not in receiver.requests[0].body


def test_a_failed_webhook_is_sent_again_after_growing_pauses_and_given_up(endpoint, receiver):
    receiver.status = 500
    run_noticed_import()
    pauses = []
    for _ in range(RETRIES + 1):
        Notice.objects.update(due_at=Now())
        notice_delivery.send_due_notices()
        notice = Notice.objects.annotate(pause=F("due_at") - Now()).get()
        pauses.append(notice.pause)

    expected = [timedelta(seconds=each) for each in AppSettings.NOTICE_RETRY_SECONDS.default]
    for pause, seconds in zip(pauses[:-1], expected, strict=True):
        assert seconds - timedelta(seconds=5) < pause <= seconds
    assert len(receiver.requests) == RETRIES + 1
    # Each attempt has the same id and the same body.
    assert len({(each.headers["webhook-id"], each.body) for each in receiver.requests}) == 1
    assert notice.gave_up_at
    assert (notice.error, notice.response_status) == ("wrong_status", 500)
    make_due_again()
    notice_delivery.send_due_notices()
    assert len(receiver.requests) == RETRIES + 1


def test_a_webhook_succeeds_after_a_failure(endpoint, receiver):
    receiver.status = 503
    run_noticed_import()
    notice_delivery.send_due_notices()
    assert not notice_delivery.has_due_notices()

    receiver.status = 204
    make_due_again()
    assert notice_delivery.has_due_notices()
    notice_delivery.send_due_notices()

    notice = Notice.objects.get()
    assert notice.delivered_at
    assert (notice.attempts, notice.response_status, notice.error) == (2, 204, "")


def test_an_endpoint_that_is_gone_is_made_inactive(endpoint, receiver):
    receiver.status = 410
    run_noticed_import()

    notice_delivery.send_due_notices()

    endpoint.refresh_from_db()
    assert not endpoint.is_active
    assert Notice.objects.get().gave_up_at
    run_noticed_import()
    assert Notice.objects.count() == 1


def test_nothing_is_sent_to_an_endpoint_that_was_made_inactive(endpoint, receiver):
    run_noticed_import()
    WebhookEndpoint.objects.update(is_active=False)

    notice_delivery.send_due_notices()

    assert receiver.requests == []
    assert Notice.objects.get().error == "not_active"


def test_a_private_target_is_refused_unless_a_setting_allows_it(endpoint, receiver, settings):
    settings.IMPORTS_WEBHOOK_PRIVATE_TARGETS = False
    WebhookEndpoint.objects.update(url=endpoint.url.replace("http:", "https:"))
    run_noticed_import()

    notice_delivery.send_due_notices()

    assert receiver.requests == []
    assert Notice.objects.get().error == "forbidden_address"


def test_an_endpoint_receives_the_imports_of_its_importer(receiver, db):
    WebhookEndpoint.objects.create(name="Parcels", url=receiver.url(), importer="parcels")
    WebhookEndpoint.objects.create(name="Customers", url=receiver.url(), importer="customers")

    run_noticed_import()

    assert Notice.objects.get().endpoint.name == "Customers"


# --- E-mails -----------------------------------------------------------------


@override_settings(IMPORTS_EMAIL_OWNERS=True)
def test_the_owner_receives_an_email_without_personal_data(owner):
    job = run_noticed_import(owner=owner)

    notice_delivery.send_due_notices()

    (message,) = mail.outbox
    (html, media_type) = message.alternatives[0]
    assert message.to == ["owner@example.com"]
    assert message.subject == "Your import is complete: 1 row failed"
    assert media_type == "text/html"
    for text in (message.body, html):
        assert f"https://imports.example.com/imports/{job.pk}/" in text
        assert CANARY not in text
        assert "alice" not in text
    assert "Failed: 1" in message.body
    assert Notice.objects.get().delivered_at


@override_settings(IMPORTS_EMAIL_OWNERS=True, IMPORTS_EMAIL_LANGUAGE="fr")
def test_an_email_is_in_the_language_of_the_site(owner):
    run_noticed_import(owner=owner)

    notice_delivery.send_due_notices()

    assert '<html lang="fr">' in mail.outbox[0].alternatives[0][0]


def test_no_email_is_sent_by_default(owner):
    run_noticed_import(owner=owner)

    assert not Notice.objects.exists()


@override_settings(IMPORTS_EMAIL_OWNERS=True)
@pytest.mark.parametrize("change", [{"email": ""}, {"is_active": False}])
def test_an_owner_without_address_or_account_receives_none(owner, change):
    type(owner).objects.update(**change)

    run_noticed_import(owner=owner)

    assert not Notice.objects.exists()


@override_settings(IMPORTS_EMAIL_OWNERS=True, **FAILING_MAIL)
def test_an_email_that_fails_is_sent_again_and_its_error_is_not_logged(owner, caplog):
    job = run_noticed_import(owner=owner)

    fail_all_attempts()

    notice = Notice.objects.get()
    assert notice.gave_up_at
    assert notice.error == "SMTPException"
    assert "owner@example.com" not in caplog.text
    job.refresh_from_db()
    assert job.status == Status.COMPLETE


@override_settings(IMPORTS_EMAIL_OWNERS=True)
@pytest.mark.parametrize("status", ["CANCELLED", "FAILED", "UNDONE"])
def test_every_end_is_told(owner, status):
    if status == "CANCELLED":
        ready = check_job(make_job(make_csv([make_row(1)]), owner=owner, check_first=True))
        lifecycle.cancel(ready, by=SYSTEM)
    elif status == "FAILED":
        check_job(make_job(b"%PDF-1.7 x", owner=owner))
    else:
        job = run_noticed_import(owner=owner)
        Notice.objects.all().delete()
        lifecycle.undo(job, by=SYSTEM)
        actors.undo_batches(str(job.pk))
    hooks.call_due_hooks()

    notice_delivery.send_due_notices()

    subjects = {
        "CANCELLED": "Your import was cancelled",
        "FAILED": "Your import has failed",
        "UNDONE": "Your import is undone",
    }
    assert [message.subject for message in mail.outbox] == [subjects[status]]


# --- Off the path of the import ------------------------------------------------


def test_an_end_that_is_told_twice_has_one_notice(endpoint):
    job = run_noticed_import()

    notice_delivery.create_notices(job)
    HookCall.objects.create(job=job, hook="import_finished")
    hooks.call_due_hooks()

    assert Notice.objects.count() == 1


def test_an_end_that_is_rolled_back_is_not_told(endpoint):
    job = check_job(make_job(make_csv([make_row(1)])))
    lifecycle.pause(job, by=SYSTEM)

    batch_applier.apply_batch(job.pk, 1)  # Rolled back, because the import is paused.
    hooks.call_due_hooks()

    assert not Notice.objects.exists()


def test_a_failure_of_notices_does_not_touch_the_import(endpoint, monkeypatch):
    def fail(job):
        raise RuntimeError(CANARY)

    monkeypatch.setattr(notice_delivery, "create_notices", fail)

    job = run_noticed_import()

    job.refresh_from_db()
    assert job.status == Status.COMPLETE
    # The call is made again later, so the notice is not lost.
    assert HookCall.objects.get(job=job).error == "RuntimeError"
    monkeypatch.undo()
    HookCall.objects.update(due_at=Now())
    hooks.call_due_hooks()
    assert Notice.objects.count() == 1


def test_a_preview_is_not_told(endpoint):
    job = check_job(make_job(make_csv([make_row(1)]), check_first=True, is_preview=True))
    lifecycle.cancel(job, by=SYSTEM)
    hooks.call_due_hooks()

    assert not Notice.objects.exists()


def test_a_worker_sends_what_is_due_also_after_a_lost_message(endpoint, receiver):
    """Nobody sends a message here: recovery of the worker finds the notice."""
    run_noticed_import()

    with worker(IMPORTS_WEBHOOK_PRIVATE_TARGETS="1"):
        wait_for(lambda: Notice.objects.filter(delivered_at__isnull=False).exists())

    assert len(receiver.requests) == 1


def test_neither_logs_nor_the_log_of_deliveries_hold_secrets(endpoint, receiver, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.status, receiver.reply = 500, b"REPLYSECRET"
    run_noticed_import()

    fail_all_attempts()

    (secret,) = endpoint.make_secrets()
    stored = json.dumps([*Notice.objects.values()], default=str)
    for text in (caplog.text, stored):
        for hidden in ("URLSECRET", "REPLYSECRET", secret, secret.removeprefix("whsec_")):
            assert hidden not in text


def test_notices_are_deleted_with_their_import(endpoint):
    job = run_noticed_import()

    job.delete()

    assert not Notice.objects.exists()


# --- The admin ---------------------------------------------------------------


@pytest.fixture
def manager(db):
    """A member of the staff who may manage webhooks."""
    names = ("add", "change", "view", "delete")
    permissions = [f"{name}_{model}" for name in names for model in ("webhookendpoint", "notice")]
    return create_user("manager", "view_all", *permissions, is_staff=True)


def test_the_secret_is_on_the_page_that_creates_it_and_on_no_other(manager, receiver):
    client = logged_in_client(manager)
    fields = {"name": "Warehouse", "url": receiver.url(), "importer": "", "is_active": "on"}

    created = client.post(reverse("admin:imports_webhookendpoint_add"), fields)

    endpoint = WebhookEndpoint.objects.get()
    (secret,) = endpoint.make_secrets()
    assert secret in created.content.decode()
    assert "no-store" in created.headers["Cache-Control"]
    pages = [
        reverse("admin:imports_webhookendpoint_change", args=[endpoint.pk]),
        reverse("admin:imports_webhookendpoint_changelist"),
        reverse("admin:imports_webhookendpoint_history", args=[endpoint.pk]),
        reverse("admin:index"),
    ]
    for page in pages:
        assert secret not in client.get(page).content.decode()


def test_a_new_secret_replaces_the_old_one(manager, endpoint):
    old = endpoint.make_secrets()
    client = logged_in_client(manager)

    response = client.post(reverse("admin:imports_webhookendpoint_secret", args=[endpoint.pk]))

    endpoint.refresh_from_db()
    assert endpoint.make_secrets() != old
    assert endpoint.make_secrets()[0] in response.content.decode()


def test_the_test_button_sends_a_test_and_shows_its_result(manager, endpoint, receiver):
    client = logged_in_client(manager)

    response = client.post(reverse("admin:imports_webhookendpoint_test", args=[endpoint.pk]))
    notice_delivery.send_due_notices()

    assert json.loads(receiver.requests[0].body)["type"] == "webhook.test"
    page = client.get(response["Location"]).content.decode()
    assert "Delivered" in page
    assert "200" in page


def test_a_test_that_fails_is_not_repeated(manager, endpoint, receiver):
    receiver.status = 500
    url = reverse("admin:imports_webhookendpoint_test", args=[endpoint.pk])
    logged_in_client(manager).post(url)
    notice_delivery.send_due_notices()

    notice = Notice.objects.get()
    assert (notice.attempts, notice.error) == (1, "wrong_status")
    assert notice.gave_up_at is not None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.5:8443", "[::1]", "169.254.169.254", "localhost", "a.localhost"]
)
def test_an_address_that_is_not_public_cannot_be_stored(host, settings):
    settings.IMPORTS_WEBHOOK_PRIVATE_TARGETS = False
    endpoint = WebhookEndpoint(name="Internal", url=f"https://{host}/hook")
    with pytest.raises(ValidationError) as info:
        endpoint.full_clean()
    assert info.value.messages == [
        "This address is not part of the public internet. The setting "
        "IMPORTS_WEBHOOK_PRIVATE_TARGETS allows such addresses."
    ]

    settings.IMPORTS_WEBHOOK_PRIVATE_TARGETS = True
    endpoint.full_clean()


def test_the_test_button_leads_back_to_the_webhook_without_the_permission_for_notices(endpoint):
    names = ("change_webhookendpoint", "view_webhookendpoint")
    client = logged_in_client(create_user("editor", *names, is_staff=True))
    url = reverse("admin:imports_webhookendpoint_test", args=[endpoint.pk])

    response = client.post(url, follow=True)

    page = reverse("admin:imports_webhookendpoint_change", args=[endpoint.pk])
    assert response.redirect_chain == [(page, 302)]
    assert response.status_code == 200
    text = response.content.decode()
    assert "ask an administrator for the permission to view notices" in text
    assert reverse("admin:imports_notice_changelist") not in text
    assert Notice.objects.get().endpoint == endpoint


@pytest.mark.parametrize("name", ["test", "secret"])
def test_a_user_who_may_only_view_a_webhook_cannot_use_it(name, endpoint):
    viewer = create_user("viewer", "view_webhookendpoint", is_staff=True)
    client = logged_in_client(viewer)
    url = reverse(f"admin:imports_webhookendpoint_{name}", args=[endpoint.pk])

    assert client.post(url).status_code == 403
    assert client.get(url).status_code == 405
    assert not Notice.objects.exists()
    page = client.get(reverse("admin:imports_webhookendpoint_change", args=[endpoint.pk]))
    assert "Send a test" not in page.content.decode()


@pytest.mark.parametrize("url", ["http://example.com/", "https://a:b@example.com/", "nothing"])
def test_an_address_that_can_never_be_used_is_refused(manager, url, settings):
    settings.IMPORTS_WEBHOOK_PRIVATE_TARGETS = False
    fields = {"name": "x", "url": url, "importer": "", "is_active": "on"}

    response = logged_in_client(manager).post(reverse("admin:imports_webhookendpoint_add"), fields)

    assert "Enter an https address" in response.content.decode()
    assert not WebhookEndpoint.objects.exists()


def test_the_log_lists_deliveries_without_addresses(manager, endpoint, receiver):
    receiver.status = 500
    job = run_noticed_import()
    notice_delivery.send_due_notices()
    client = logged_in_client(manager)

    page = client.get(reverse("admin:imports_notice_changelist")).content.decode()
    detail = client.get(reverse("admin:imports_notice_change", args=[Notice.objects.get().pk]))

    for text in (page, detail.content.decode()):
        assert "Warehouse" in text
        assert "wrong_status" in text
        assert "URLSECRET" not in text
    assert str(job.pk) in page


def test_given_up_notices_are_sent_again_on_demand(manager, endpoint, receiver):
    receiver.status = 500
    run_noticed_import()
    fail_all_attempts()
    receiver.status = 200
    fields = {"action": "send_again", "_selected_action": [str(Notice.objects.get().pk)]}

    logged_in_client(manager).post(reverse("admin:imports_notice_changelist"), fields)
    notice_delivery.send_due_notices()

    assert Notice.objects.get().delivered_at
