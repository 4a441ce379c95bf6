"""The cast, and what many tests need."""

from __future__ import annotations

import os

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils.translation import override
from hypothesis import HealthCheck, settings

# Of each property so many examples, the same in every run; with EXAMPLES=5000 so many new ones.
EXAMPLES = os.environ.get("EXAMPLES")
settings.register_profile(
    "tests",
    max_examples=int(EXAMPLES or 100),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,  # A busy machine is no failure.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


def pytest_configure(config):
    # WhiteNoise misses what only a release collects.
    config.addinivalue_line("filterwarnings", "ignore:No directory at:UserWarning")


def create_user(name: str, *permissions: str, **fields: bool) -> User:
    person = User.objects.create_user(name, **fields)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return person


@pytest.fixture
def alice(db):
    """She owns the imports."""
    return create_user("alice", "add_importjob")


@pytest.fixture
def bob(db):
    """Someone else who imports."""
    return create_user("bob", "add_importjob")


@pytest.fixture
def eve(db):
    """She may see every import, and start or stop none."""
    return create_user("eve", "view_all", is_staff=True)


@pytest.fixture
def root(db):
    """The superuser."""
    return User.objects.create_superuser("root")


def logged_in_client(person: User, **options: bool) -> Client:
    client = Client(**options)
    client.force_login(person)
    return client


@pytest.fixture(autouse=True)
def in_english():
    """Whatever language the test before has asked a page for, in this very thread."""
    with override("en"):
        yield
