"""What docs/operating.md says about permissions, error codes and commands is true."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command

from customers.models import Customer
from imports.error_messages import JOB_MESSAGES
from tests.conftest import create_user, logged_in_client
from tests.factories import make_csv, make_job, make_row
from tests.test_api_views import upload_file

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operating.md").read_text()
TABLE = re.findall(r"^\| `(\w+)\.(\w+)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_each_permission_of_the_page_exists_under_its_name():
    assert len(TABLE) == 10
    for app, codename, name, _ in TABLE:
        permission = Permission.objects.get(content_type__app_label=app, codename=codename)
        assert permission.name == name


@pytest.mark.parametrize("codename", [codename for _, codename, *_ in TABLE])
def test_each_permission_allows_exactly_what_the_page_says(alice, codename):
    (description,) = [text for _, name, _, text in TABLE if name == codename]
    job = make_job(make_csv([make_row(1)]), owner=alice)
    Customer.objects.create(shipping_mark="A", first_name="A", last_name="M", phone="+233244000001")
    client = logged_in_client(create_user("nobody", codename))

    # With the permissions of the model, which the page names in rows of their own.
    can_upload = upload_file(client).status_code == 202
    can_see = client.get(f"/api/imports/{job.pk}/").status_code == 200
    can_cancel = client.post(f"/api/imports/{job.pk}/cancel/").status_code == 202
    sees_customers = bool(client.get("/api/customers/").json()["results"])

    assert can_upload == description.startswith("upload, together with the next permission;")
    assert can_see == ("see all imports" in description)
    assert can_cancel == ("and start, cancel" in description)
    assert sees_customers == ("see all customers" in description)


@pytest.mark.parametrize(
    ("codenames", "policies"),
    [
        (["add_importjob"], []),
        (["add_customer", "change_customer"], []),
        (["add_importjob", "change_customer"], []),
        (["add_importjob", "add_customer"], ["skip"]),
        (["add_importjob", "add_customer", "change_customer"], ["skip", "update"]),
    ],
)
def test_permissions_that_an_upload_needs_together(codenames, policies):
    client = logged_in_client(create_user("nobody", *codenames, may_write_records=False))

    statuses = {
        policy: upload_file(client, on_duplicate=policy).status_code
        for policy in ("skip", "update")
    }

    assert [policy for policy, status in statuses.items() if status == 202] == policies


def test_the_page_lists_the_error_code_of_every_file_type_that_is_not_supported():
    codes_on_page = re.findall(
        r"`(\w+)`", PAGE.partition("Everything else has a code")[2].partition("What was")[0]
    )

    other_errors = {"empty_file", "unreadable_file"}
    type_errors = {code for code in JOB_MESSAGES if code.endswith("_file")} - other_errors
    assert type_errors | {"web_archive", "text_document"} <= set(codes_on_page) <= set(JOB_MESSAGES)
    assert not other_errors & set(codes_on_page)


def test_the_command_on_the_page_creates_the_first_account(monkeypatch):
    (name,) = re.findall(r"^python manage.py (\w+)$", PAGE, re.MULTILINE)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a-good-password")
    call_command(name, "--no-input", username="first", email="first@example.com", verbosity=0)
    assert User.objects.get().is_superuser
    assert logged_in_client(User.objects.get()).get("/admin/").status_code == 200
