"""docs/operating.md tells of people what is so: the permissions there are, and what each opens."""

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


def test_each_permission_is_there_under_its_name():
    assert len(TABLE) == 4
    for app, codename, name, _ in TABLE:
        permission = Permission.objects.get(content_type__app_label=app, codename=codename)
        assert permission.name == name


@pytest.mark.parametrize("codename", [codename for _, codename, *_ in TABLE])
def test_each_permission_opens_what_the_page_says_and_no_more(alice, codename):
    (may,) = [what for _, known, _, what in TABLE if known == codename]
    theirs = make_job(make_csv([make_row(1)]), owner=alice)
    Customer.objects.create(shipping_mark="A", first_name="A", last_name="M", phone="+233244000001")
    client = logged_in_client(create_user("nobody", codename))

    can_upload = upload_file(client).status_code == 202
    can_see = client.get(f"/api/imports/{theirs.pk}/").status_code == 200
    can_cancel = client.post(f"/api/imports/{theirs.pk}/cancel/").status_code == 202
    sees_customers = bool(client.get("/api/customers/").json()["results"])

    assert can_upload == may.startswith("upload;")
    assert can_see == ("see all imports" in may)
    assert can_cancel == ("and start, cancel" in may)
    assert sees_customers == ("see all customers" in may)


def test_each_kind_of_file_that_is_no_spreadsheet_is_named_by_its_code():
    told = re.findall(
        r"`(\w+)`", PAGE.partition("Everything else has a code")[2].partition("What was")[0]
    )

    other_reasons = {"empty_file", "unreadable_file"}
    kinds = {code for code in JOB_MESSAGES if code.endswith("_file")} - other_reasons
    assert kinds | {"web_archive", "text_document"} <= set(told) <= set(JOB_MESSAGES)
    assert not other_reasons & set(told)


def test_the_first_account_is_made_by_the_command_on_the_page(monkeypatch):
    (name,) = re.findall(r"^python manage.py (\w+)$", PAGE, re.MULTILINE)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a-good-password")
    call_command(name, "--no-input", username="first", email="first@example.com", verbosity=0)
    assert User.objects.get().is_superuser
    assert logged_in_client(User.objects.get()).get("/admin/").status_code == 200
