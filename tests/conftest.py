"""Users with defined permissions, and settings of the test run."""

from __future__ import annotations

import os

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.utils.translation import override
from hypothesis import HealthCheck, settings

from tests.streams import running_daphne

# Number of examples of each property. By default they are the same in every run. With EXAMPLES=5000
# there are 5000 new ones in every run.
EXAMPLES = os.environ.get("EXAMPLES")
settings.register_profile(
    "tests",
    max_examples=int(EXAMPLES or 100),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,  # A test must not fail because the machine is busy.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


def pytest_configure(config):
    # WhiteNoise warns that STATIC_ROOT is missing. Only a deployment creates it.
    config.addinivalue_line("filterwarnings", "ignore:No directory at:UserWarning")


def pytest_collection_modifyitems(items):
    """Let the tests use every database, with settings that have several."""
    if len(connections.settings) == 1:
        return
    for item in items:
        marker = item.get_closest_marker("django_db")
        if marker or {"db", "transactional_db"}.intersection(item.fixturenames):
            options = {**(marker.kwargs if marker else {}), "databases": "__all__"}
            item.add_marker(pytest.mark.django_db(**options), append=False)


def make_username(name: str) -> str:
    """Return the name as the user model has it: an e-mail address if it has no user names."""
    return name if get_user_model().USERNAME_FIELD == "username" else f"{name}@example.com"


# Permissions for the models of these apps are no part of what "may import" gives.
OTHER_APPS = ("admin", "auth", "axes", "contenttypes", "imports", "otp_totp", "sessions")
WRITING = r"^(add|change|delete)_"


def create_user(
    name: str, *permissions: str, may_write_records: bool = True, **fields: bool
) -> User:
    """Create a user with permissions, named by their code names.

    A user who may import or control imports may also add, change and delete the records of every
    importer, unless `may_write_records` is False.
    """
    user = get_user_model().objects.create_user(make_username(name), **fields)
    named = Permission.objects.filter(codename__in=permissions)
    if may_write_records and {"add_importjob", "control_all"} & {*permissions}:
        records = Permission.objects.exclude(content_type__app_label__in=OTHER_APPS)
        named |= records.filter(codename__regex=WRITING)
    user.user_permissions.set(named)
    return user


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix):
    """Let no thread of this process keep a connection, so that the database can be dropped."""
    for alias in connections:
        connections.databases[alias]["CONN_MAX_AGE"] = 0


@pytest.fixture
def alice(db):
    """A user who may import. In most tests she owns the imports."""
    return create_user("alice", "add_importjob")


@pytest.fixture
def bob(db):
    """Another user who may import."""
    return create_user("bob", "add_importjob")


@pytest.fixture
def eve(db):
    """A user who may see every import, and may not start or cancel any."""
    return create_user("eve", "view_all", is_staff=True)


@pytest.fixture
def root(db):
    """The superuser."""
    return get_user_model().objects.create_superuser(make_username("root"))


@pytest.fixture(scope="module")
def web_server(django_db_setup):
    """A web server that the tests of a module share, with streams that poll often."""
    with running_daphne(IMPORTS_STREAM_POLL_SECONDS="0.5") as server:
        yield server


def logged_in_client(user: User, **options: bool) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def _activate_english():
    """Activate English. An earlier test may have activated another language in this thread."""
    with override("en"):
        yield
