"""The page of customers, the filters of the list of imports, and the content security policy."""

import pytest
from django.urls import reverse

from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import make_csv, make_row, run_import
from tests.test_pages import create_import, visible_text

pytestmark = pytest.mark.django_db(transaction=True)


def get_page(client, query=""):
    response = client.get(reverse("customers") + query)
    return response.status_code, visible_text(response.content.decode())


def test_customer_is_searched_and_shows_its_file_and_row(alice, bob):
    job = run_import(make_csv([make_row(1), make_row(2)]), owner=alice)

    _, found = get_page(logged_in_client(alice), "?q=mark+2")
    _, of_import = get_page(logged_in_client(alice), f"?import={job.pk}")

    assert "MARK 2 Ama Mensah2 +233240000002 ama2@example.com customers.csv, row 3" in found
    assert "MARK 1" not in found
    assert "MARK 1" in of_import
    assert "MARK 1" not in get_page(logged_in_client(bob))[1]
    assert get_page(logged_in_client(bob), f"?import={job.pk}")[0] == 404
    assert get_page(logged_in_client(alice), "?import=nonsense")[0] == 404


def test_list_is_filtered_by_status_name_and_owner(alice, root):
    create_import(Status.COMPLETE, alice, file_name="march.csv")
    create_import(Status.FAILED, root, file_name="april.csv")
    client = logged_in_client(root)

    def list_file_names(query):
        html = client.get(reverse("imports:list") + query).content.decode()
        return [name for name in ("march.csv", "april.csv") if f">{name}<" in html]

    assert list_file_names("") == list_file_names("?status=nonsense") == ["march.csv", "april.csv"]
    assert (
        list_file_names("?status=failed")
        == list_file_names("?owner=me")
        == list_file_names("?q=PRI")
        == ["april.csv"]
    )


def test_an_import_of_which_every_row_failed_is_listed_as_failed(alice):
    counts = {"created": 0, "failed": 3}
    create_import(Status.COMPLETE, alice, file_name="march.csv", **counts)
    create_import(Status.COMPLETE, alice, file_name="april.csv", created=0, failed=2, skipped=1)
    create_import(Status.RUNNING, alice, file_name="may.csv", **counts)
    client = logged_in_client(alice)

    def list_file_names(group):
        html = client.get(reverse("imports:list"), {"status": group}).content.decode()
        return [name for name in ("march.csv", "april.csv", "may.csv") if f">{name}<" in html]

    assert list_file_names("failed") == ["march.csv"]
    assert list_file_names("complete") == ["april.csv"]


@pytest.mark.parametrize("path", ["/", "/customers/", "/admin/", "/nowhere/", "/api/imports/"])
def test_every_response_has_a_content_security_policy(root, path):
    policy = logged_in_client(root).get(path)["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
