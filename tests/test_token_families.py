"""Tokens of one login: each refresh token is valid once, and a copy that is used later ends all."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from imports.authentication import rotate_refresh_token
from imports.models import TokenFamily
from imports.token_families import FamilyEnded, revoke_family
from tests.conftest import create_user, make_username
from tests.streams import make_job

PASSWORD = "a-good-password"


@pytest.fixture
def anna(db, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = create_user("anna", "add_importjob")
    user.set_password(PASSWORD)
    user.save()
    return user


def post(address, **fields):
    return Client().post(f"/api/auth/token/{address}", fields, content_type="application/json")


def log_in():
    return post("", username=make_username("anna"), password=PASSWORD).json()


def refresh(tokens):
    return post("refresh/", refresh=tokens["refresh"])


def is_valid(tokens):
    headers = {"Authorization": f"Bearer {tokens['access']}"}
    return Client(headers=headers).get("/api/imports/").status_code == 200


def end_repeat_period():
    TokenFamily.objects.update(replaced_at=timezone.now() - timedelta(seconds=31))


def assert_not_valid(response):
    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")


@pytest.mark.usefixtures("anna")
def test_a_refresh_token_is_replaced_when_it_is_used():
    first = log_in()
    second = refresh(first).json()
    third = refresh(second).json()

    assert len({first["refresh"], second["refresh"], third["refresh"]}) == 3
    assert is_valid(first)
    assert is_valid(third)
    expiry = {RefreshToken(tokens["refresh"])["exp"] for tokens in (first, second, third)}
    assert len(expiry) == 1


@pytest.mark.usefixtures("anna")
def test_a_replaced_token_that_is_used_again_ends_every_token_of_its_login():
    other = log_in()
    stolen = log_in()
    current = refresh(stolen).json()
    end_repeat_period()

    assert_not_valid(refresh(stolen))

    assert not is_valid(stolen)
    assert not is_valid(current)
    assert_not_valid(refresh(current))
    assert is_valid(other)
    assert refresh(other).status_code == 200


@pytest.mark.usefixtures("anna")
def test_a_token_that_was_replaced_twice_is_never_repeated():
    first = log_in()
    current = refresh(refresh(first).json()).json()

    assert_not_valid(refresh(first))
    assert not is_valid(current)


@pytest.mark.usefixtures("anna")
def test_a_client_whose_response_was_lost_receives_the_same_token_again():
    first = log_in()
    lost = refresh(first).json()
    repeated = refresh(first).json()

    assert repeated["refresh"] == lost["refresh"]
    assert is_valid(repeated)
    assert refresh(repeated).status_code == 200


@pytest.mark.usefixtures("anna")
def test_no_token_is_repeated_if_the_period_is_zero(settings):
    settings.IMPORTS_REFRESH_REPEAT_SECONDS = 0
    first = log_in()
    refresh(first)

    assert_not_valid(refresh(first))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("anna")
def test_clients_that_refresh_at_once_share_one_successor():
    tokens = log_in()

    def run(_):
        try:
            return refresh(tokens).json()["refresh"]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(run, range(6)))) == 1


@pytest.mark.usefixtures("anna")
def test_a_logout_ends_the_tokens_of_one_login():
    first, other = log_in(), log_in()
    second = refresh(first).json()

    assert post("revoke/", refresh=second["refresh"]).status_code == 204

    assert not is_valid(first)
    assert not is_valid(second)
    assert_not_valid(refresh(second))
    assert is_valid(other)
    assert post("revoke/", refresh=second["refresh"]).status_code == 204
    assert_not_valid(post("revoke/", refresh="x"))


def test_a_new_password_and_a_deactivated_account_end_all_tokens(anna):
    tokens = log_in()
    anna.is_active = False
    anna.save()
    assert not is_valid(tokens)
    assert_not_valid(refresh(tokens))
    anna.is_active = True
    anna.set_password("another-password")
    anna.save()
    assert not is_valid(tokens)
    assert_not_valid(refresh(tokens))


def test_a_refresh_token_of_another_issuer_is_not_accepted(anna):
    token = RefreshToken.for_user(anna)
    assert_not_valid(post("refresh/", refresh=str(token)))
    for family in ("x", "", 7, ["x"], {}, "5f0c3f3a-5f43-4c6e-8f6c-94f0cf5dd1a3"):
        token["imports_family"] = family
        assert_not_valid(post("refresh/", refresh=str(token)))
        assert not is_valid({"access": str(token.access_token)})


def test_an_access_token_of_the_project_is_accepted(anna):
    assert is_valid({"access": str(AccessToken.for_user(anna))})


@pytest.mark.usefixtures("anna")
def test_a_family_that_ends_during_a_request_gets_no_new_token():
    token = RefreshToken(log_in()["refresh"])
    revoke_family(token["imports_family"])

    with pytest.raises(FamilyEnded):
        rotate_refresh_token(token)


@pytest.mark.usefixtures("anna")
def test_expired_families_are_deleted_at_the_next_login():
    log_in()
    TokenFamily.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    log_in()

    assert TokenFamily.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_logout_ends_an_open_stream(web_server, anna):
    tokens = log_in()
    job = make_job(anna)
    with web_server.stream(job, Authorization=f"Bearer {tokens['access']}") as stream:
        assert stream.next().name == "progress"

        post("revoke/", refresh=tokens["refresh"])

        stream.rest()  # Returns at the end of the stream.
