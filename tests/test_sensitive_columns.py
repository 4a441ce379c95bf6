"""Test that the values of sensitive columns are hidden from everyone without the permission."""

from dataclasses import replace
from io import StringIO

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from customers.importers import CustomerImporter
from customers.models import Customer
from imports import importer as registry
from imports import permissions
from imports.importer import InvalidValue
from imports.management import waiting
from imports.models import ImportJob
from imports.value_mask import HIDDEN_VALUE, SHOW_ALL, make_value_mask
from tests.conftest import create_user, logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.test_downloads import read_content

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "CANARY-4711"
SENSITIVE_FIELDS = {"shipping_mark", "phone"}


@pytest.fixture(autouse=True)
def sensitive_columns(monkeypatch):
    """Mark columns of the customers importer as sensitive."""
    columns = tuple(
        replace(column, sensitive=column.field in SENSITIVE_FIELDS)
        for column in CustomerImporter.columns
    )
    monkeypatch.setattr(CustomerImporter, "columns", columns)
    return columns


@pytest.fixture
def auditor(db):
    """A user who may see every import, and the values of sensitive columns."""
    return create_user("auditor", "view_all", "view_sensitive", is_staff=True)


def run_failing_import(**fields) -> ImportJob:
    """Run an import with a failed row whose phone is the secret, and a duplicate of its mark."""
    rows = [
        make_row(1, phone=SECRET),
        make_row(2, mark=SECRET),
        make_row(3, mark=SECRET, email="not-an-address"),
    ]
    return run_import(make_csv(rows), **fields)


def get_addresses(job: ImportJob) -> list[str]:
    """Return the addresses that show values of rows: pages, REST API and admin."""
    api = [
        reverse(f"imports:api:import-{name}", args=[job.pk])
        for name in ("detail", "rows", "problems")
    ]
    legacy = f"/api/auth/customers/excel/bulk-create/status/{job.pk}/"
    pages = [reverse(f"imports:{name}", args=[job.pk]) for name in ("detail", "rows")]
    admin = [reverse(f"admin:imports_importjob_{n}", args=[job.pk]) for n in ("change", "rows")]
    return [*api, legacy, *pages, *admin]


def read_text(client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


def test_values_are_hidden_from_a_user_who_may_only_see_all_imports(eve):
    job = run_failing_import()
    client = logged_in_client(eve)

    texts = {address: read_text(client, address) for address in get_addresses(job)}

    assert [address for address, text in texts.items() if SECRET in text] == []
    # The values of other columns are shown.
    rows = read_text(client, reverse("admin:imports_importjob_rows", args=[job.pk]))
    assert "Mensah1" in rows
    assert HIDDEN_VALUE in rows
    assert HIDDEN_VALUE in texts[reverse("imports:rows", args=[job.pk])]


@pytest.mark.parametrize("is_owner", [True, False])
def test_the_owner_and_users_with_the_permission_see_the_values(is_owner, auditor):
    job = run_failing_import(owner=auditor) if is_owner else run_failing_import()
    if is_owner:
        auditor.user_permissions.remove(Permission.objects.get(codename="view_sensitive"))
    client = logged_in_client(auditor)

    assert SECRET in read_text(client, reverse("imports:rows", args=[job.pk]))
    assert SECRET in read_text(client, reverse("imports:api:import-rows", args=[job.pk]))
    assert SECRET in read_text(client, reverse("admin:imports_importjob_rows", args=[job.pk]))
    assert permissions.can_download(auditor, job)


def test_samples_of_columns_that_may_be_sensitive_are_hidden(eve):
    headers = ["Code of ours", "First name", "Last name", "E-mail", "Phone"]
    job = check_job(make_job(make_csv([make_row(1, mark=SECRET)], headers)))
    assert job.status == "MAPPING"
    client = logged_in_client(eve)

    columns = client.get(reverse("imports:api:import-detail", args=[job.pk])).json()["columns"]

    assert columns["samples"][0] == [HIDDEN_VALUE]
    assert columns["samples"][4] == [HIDDEN_VALUE]
    assert columns["samples"][1] == ["Ama"]


def test_the_form_that_maps_columns_hides_samples(db):
    controller = create_user("controller", "control_all")
    headers = ["Code of ours", "First name", "Last name", "E-mail", "Phone"]
    job = check_job(make_job(make_csv([make_row(1, mark=SECRET)], headers)))

    page = read_text(logged_in_client(controller), reverse("imports:detail", args=[job.pk]))

    assert SECRET not in page
    assert HIDDEN_VALUE in page


def make_previewed_import(**fields) -> ImportJob:
    """Check an import that would update a record and create another one."""
    Customer.objects.create(
        shipping_mark="MARK 1", first_name="Ama", last_name="Old", phone="+233240000099"
    )
    rows = [make_row(1), make_row(2, mark=SECRET)]
    return check_job(make_job(make_csv(rows), check_first=True, on_duplicate="update", **fields))


def test_a_preview_hides_values(db):
    viewer = create_user("viewer", "view_all", "view_customer")
    job = make_previewed_import()
    client = logged_in_client(viewer)

    preview = client.get(reverse("imports:api:import-preview", args=[job.pk])).json()
    page = read_text(client, reverse("imports:detail", args=[job.pk]))

    changes = preview["updates"][0]["changes"]
    assert changes["phone"] == {"old": HIDDEN_VALUE, "new": HIDDEN_VALUE}
    assert changes["last_name"] == {"old": "Old", "new": "Mensah1"}
    assert preview["creates"][0]["values"]["shipping_mark"] == HIDDEN_VALUE
    assert preview["creates"][0]["values"]["first_name"] == "Ama"
    assert SECRET not in page
    assert "+233240000099" not in page


def test_a_preview_hides_values_of_existing_records_from_the_owner(db):
    owner = create_user("owner", "add_importjob", "view_customer")
    job = make_previewed_import(owner=owner)

    preview = logged_in_client(owner).get(reverse("imports:api:import-preview", args=[job.pk]))

    phone = preview.json()["updates"][0]["changes"]["phone"]
    assert phone == {"old": HIDDEN_VALUE, "new": "+233240000001"}


FILE_NAMES = ("file", "failed-rows-xlsx", "failed-rows-csv", "kept-rows-xlsx", "kept-rows-csv")


@pytest.mark.parametrize("name", FILE_NAMES)
def test_files_are_complete_or_refused(name, eve):
    job = run_failing_import()
    client = logged_in_client(eve)

    refused = client.get(reverse(f"imports:api:import-{name}", args=[job.pk]))
    redirected = client.get(reverse(f"imports:{name}", args=[job.pk]), follow=True)

    assert refused.status_code == 403
    assert "imports.view_sensitive" in refused.json()["message"]
    assert redirected.redirect_chain == [(reverse("imports:detail", args=[job.pk]), 302)]
    assert "columns that you may not see" in redirected.content.decode()
    assert not job.events.filter(command="download").exists()


def test_files_are_not_masked_for_users_with_the_permission(auditor):
    job = run_failing_import()
    client = logged_in_client(auditor)

    for name in ("file", "failed-rows-csv"):
        response = client.get(reverse(f"imports:api:import-{name}", args=[job.pk]))
        content = read_content(response).decode()
        assert SECRET in content
        assert HIDDEN_VALUE not in content


def test_pages_offer_no_refused_file(eve):
    job = run_failing_import()
    client = logged_in_client(eve)

    page = read_text(client, reverse("imports:detail", args=[job.pk]))
    admin_page = read_text(client, reverse("admin:imports_importjob_change", args=[job.pk]))
    urls = client.get(reverse("imports:api:import-detail", args=[job.pk])).json()["urls"]

    assert "Download the failed rows" not in page
    for name in FILE_NAMES:
        address = reverse(f"imports:{name}", args=[job.pk])
        assert address not in page
        assert address not in admin_page
    assert urls["failed_rows_xlsx"] is None
    assert urls["failed_rows_csv"] is None


def test_the_output_of_a_command_hides_values(monkeypatch):
    def clean_quoting(cell):
        raise InvalidValue("quoted", cell=cell)

    columns = [
        replace(column, clean=clean_quoting) if column.field == "phone" else column
        for column in CustomerImporter.columns
    ]
    monkeypatch.setattr(CustomerImporter, "columns", columns)
    monkeypatch.setattr(CustomerImporter, "messages", {"quoted": "%(cell)s is wrong."})
    job = run_failing_import()

    output = StringIO()
    waiting._print_problems(job, output)

    assert f"{HIDDEN_VALUE} is wrong." in output.getvalue()
    assert SECRET not in output.getvalue()


def test_nothing_is_hidden_without_sensitive_columns():
    assert make_value_mask("parcels") is SHOW_ALL


def test_everything_is_hidden_of_an_importer_that_is_not_installed_any_more(eve, monkeypatch):
    job = run_failing_import()
    monkeypatch.delitem(registry._registered, "customers")
    client = logged_in_client(eve)

    rows = read_text(client, reverse("admin:imports_importjob_rows", args=[job.pk]))
    page = read_text(client, reverse("imports:rows", args=[job.pk]))

    assert SECRET not in rows + page
    assert "not-an-address" not in rows + page


def test_an_error_hides_what_it_may_quote():
    mask = make_value_mask("customers")
    error = {"field": "phone", "code": "wrong", "params": {"cell": SECRET}, "value": SECRET}

    assert mask.mask_error(error) == error | {
        "params": {"cell": HIDDEN_VALUE},
        "value": HIDDEN_VALUE,
    }
    # A number that is a limit is no value of the row.
    limit = error | {"code": "too_long", "params": {"limit": 5}}
    assert mask.mask_error(limit)["params"] == {"limit": 5}
    # A validator may have put the value into its message.
    assert SECRET not in mask.mask_error(error | {"message": f"{SECRET} is bad."})["message"]
    # The error of a row as a whole may quote any column.
    assert mask.mask_error(error | {"field": None})["params"] == {"cell": HIDDEN_VALUE}
    # The error of another column may not, unless a rule over several columns raised it.
    other = error | {"field": "last_name"}
    assert mask.mask_error(other) == other


def test_an_error_of_a_rule_over_several_columns_hides_what_it_may_quote(monkeypatch):
    monkeypatch.setattr(CustomerImporter, "check_row", lambda values: None, raising=False)
    error = {"field": "last_name", "code": "wrong", "params": {"cell": SECRET}, "value": "Mensah"}

    masked = make_value_mask("customers").mask_error(error)

    assert masked["params"] == {"cell": HIDDEN_VALUE}
    assert masked["value"] == "Mensah"


def test_the_api_names_sensitive_columns(alice):
    columns = logged_in_client(alice).get("/api/importers/customers/").json()["columns"]

    assert {each["field"] for each in columns if each["sensitive"]} == SENSITIVE_FIELDS
