"""The page of customers, and the filters of the list of imports."""

import pytest
from django.urls import reverse

from imports.statuses import Status
from tests.conftest import signed_in
from tests.factories import csv_file, person, run_import
from tests.test_pages import import_in, text_of

pytestmark = pytest.mark.django_db(transaction=True)


def page(client, query=""):
    response = client.get(reverse("customers") + query)
    return response.status_code, text_of(response.content.decode())


def test_a_customer_is_found_and_names_the_file_and_row_it_came_from(alice, bob):
    job = run_import(csv_file([person(1), person(2)]), owner=alice)

    _, found = page(signed_in(alice), "?q=mark+2")
    _, of_import = page(signed_in(alice), f"?import={job.pk}")

    assert "MARK 2 Ama Mensah2 +233240000002 ama2@example.com customers.csv, row 3" in found
    assert "MARK 1" not in found
    assert "MARK 1" in of_import
    assert "MARK 1" not in page(signed_in(bob))[1]
    assert page(signed_in(bob), f"?import={job.pk}")[0] == 404
    assert page(signed_in(alice), "?import=nonsense")[0] == 404


def test_the_list_is_filtered_by_status_name_and_owner(alice, root):
    import_in(Status.COMPLETE, alice, file_name="march.csv")
    import_in(Status.FAILED, root, file_name="april.csv")
    client = signed_in(root)

    def shown(query):
        html = client.get(reverse("imports") + query).content.decode()
        return [name for name in ("march.csv", "april.csv") if f">{name}<" in html]

    assert shown("") == shown("?status=nonsense") == ["march.csv", "april.csv"]
    assert shown("?status=failed") == shown("?whose=mine") == shown("?q=PRI") == ["april.csv"]


@pytest.mark.parametrize("path", ["/", "/customers/", "/admin/", "/nowhere/", "/api/imports/"])
def test_every_answer_carries_the_policy(root, path):
    policy = signed_in(root).get(path)["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
