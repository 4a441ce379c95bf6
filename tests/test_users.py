"""Users of any model: the key of an owner may be any text, and the name has any name."""

import json
from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory
from django.urls import resolve

from imports import authentication, progress
from imports.api.throttles import ReadThrottle
from imports.live.hub import ProgressHub, Subscriber
from imports.snapshots import ALL_OWNERS, make_import_topic, make_owner_topic
from tests.conftest import create_user, make_username
from tests.factories import make_csv, make_job, make_row

JOB_ID = "11111111-1111-1111-1111-111111111111"
SNAPSHOT = {"id": JOB_ID, "version": 1, "status": "RUNNING"}
KEYS = ["7", "5f0c3f3a-5f43-4c6e-8f6c-94f0cf5dd1a3", "ama mensah", "a:b", "hub", "everyone", JOB_ID]


def publish_to_subscribers(owner_id, *topics):
    """Return, for each topic, whether a subscriber receives a snapshot of this owner's import."""
    hub = ProgressHub()
    subscribers = [Subscriber("1", topic) for topic in topics]
    for subscriber in subscribers:
        hub.subscribers[subscriber.topic].add(subscriber)
    channel = progress.get_channel(SimpleNamespace(owner_id=owner_id, id=JOB_ID))
    hub.on_message(channel, json.dumps(SNAPSHOT))
    return [bool(subscriber.pending) for subscriber in subscribers]


@pytest.mark.parametrize("key", KEYS)
def test_a_snapshot_reaches_the_feed_of_its_owner_and_no_other(key):
    topics = (make_owner_topic(key), make_owner_topic("other"), ALL_OWNERS)

    assert publish_to_subscribers(key, *topics) == [True, False, True]


@pytest.mark.parametrize("key", ["everyone", "all owners", ""])
def test_the_key_of_an_owner_does_not_open_the_feed_of_all(key):
    assert publish_to_subscribers("other", make_owner_topic(key)) == [False]


def test_an_owner_whose_key_is_the_id_of_an_import_does_not_see_the_import():
    assert publish_to_subscribers("other", make_owner_topic(JOB_ID)) == [False]
    assert publish_to_subscribers("other", make_import_topic(JOB_ID)) == [True]


def test_an_import_without_an_owner_reaches_the_feed_of_all_only():
    topics = (make_owner_topic("None"), make_owner_topic(""), ALL_OWNERS)

    assert publish_to_subscribers(None, *topics) == [False, False, True]


@pytest.mark.parametrize("key", KEYS)
def test_a_throttle_counts_by_any_key(key):
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(pk=key, is_authenticated=True)

    throttle_key = ReadThrottle().get_cache_key(request, None)

    assert throttle_key.isascii()
    assert " " not in throttle_key


@pytest.mark.django_db
def test_a_ticket_holds_any_key_and_belongs_to_one_import():
    user = create_user("clerk", "add_importjob")
    ticket = authentication.make_ticket(JOB_ID, user)

    assert authentication.get_ticket_user(ticket, JOB_ID) == user
    with pytest.raises(authentication.InvalidTicket):
        authentication.get_ticket_user(ticket, "22222222-2222-2222-2222-222222222222")


@pytest.mark.django_db
def test_a_ticket_with_a_key_of_another_user_model_is_invalid():
    content = [JOB_ID, "no such key", "", 10**12]
    ticket = authentication.make_ticket_signer().sign_object(content)

    with pytest.raises(authentication.InvalidTicket):
        authentication.get_ticket_user(ticket, JOB_ID)


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["username", None], ids=["username", "USERNAME_FIELD"])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_token_is_issued_for_the_name_under_either_name(field, content_type):
    user = create_user("clerk", "add_importjob")
    user.set_password("sesame")
    user.save()
    credentials = {
        field or get_user_model().USERNAME_FIELD: make_username("clerk"),
        "password": "sesame",
    }
    body = credentials if content_type == "application/json" else _encode_form(credentials)

    tokens = Client().post("/api/auth/token/", body, content_type=content_type)
    headers = {"Authorization": f"Bearer {tokens.json()['access']}"}

    assert Client().get("/api/imports/", headers=headers).status_code == 200
    refreshed = Client().post("/api/auth/token/refresh/", {"refresh": tokens.json()["refresh"]})
    assert refreshed.status_code == 200


def _encode_form(fields):
    return "&".join(f"{name}={value}" for name, value in fields.items())


@pytest.mark.django_db
def test_wrong_credentials_are_named_as_the_user_model_names_them():
    users = get_user_model()
    body = {users.USERNAME_FIELD: make_username("clerk"), "password": "no"}

    response = Client().post("/api/auth/token/", body, content_type="application/json")

    name = users._meta.get_field(users.USERNAME_FIELD).verbose_name
    assert response.status_code == 401
    assert f"No active account has this {name} and password." in response.json()["message"]


@pytest.mark.parametrize("action", ["", "refresh/", "revoke/"])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"CONTENT_LENGTH": str(16 * 1024 + 1)}, 413, "too_large"),
        ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, 411, "length_required"),
    ],
)
def test_a_body_that_is_too_large_for_credentials_is_refused_unread(action, headers, status, code):
    address = f"/api/auth/token/{action}"
    request = RequestFactory().generic("POST", address, "{", "application/json", **headers)
    view, args, kwargs = resolve(address)

    response = view(request, *args, **kwargs)

    assert (response.status_code, response.data["code"]) == (status, code)


@pytest.mark.django_db
def test_imports_are_found_by_the_name_of_their_owner(root):
    client = Client()
    client.force_login(root)
    job = make_job(make_csv([make_row(1)]), owner=create_user("clerk"))
    make_job(make_csv([make_row(1)]), owner=create_user("other"))

    listed = client.get("/api/imports/", {"owner": make_username("clerk")}).json()["results"]
    page = client.get("/admin/imports/importjob/", {"q": make_username("clerk")})

    assert [each["id"] for each in listed] == [str(job.pk)]
    assert listed[0]["owner"] == make_username("clerk")
    assert [each.pk for each in page.context["cl"].result_list] == [job.pk]
