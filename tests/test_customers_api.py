"""The customers API: visibility, provenance, search and pages."""

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext

from customers.models import Customer
from customers.search import search_customers
from imports import permissions, provenance
from imports.models import ImportBatch, ImportJob
from tests.conftest import create_user, logged_in_client
from tests.database import connection
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.parcels.models import Parcel

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


def import_rows(owner, *rows, **fields):
    return run_import(make_csv(rows), owner=owner, **fields)


def list_customers(client, **query):
    response = client.get("/api/customers/", query)
    assert response.status_code == 200, response.json()
    return response.json()["results"]


def list_marks(client, **query):
    return [customer["shipping_mark"] for customer in list_customers(client, **query)]


def get_error(response):
    error = response.json()
    assert error.keys() == {"code", "message", "params", "errors"}
    return response.status_code, error["code"]


@pytest.fixture
def vic(db):
    """Return a user who may view all customers and no import."""
    return create_user("vic", "view_customer")


# --- Visibility --------------------------------------------------------------


def test_a_user_sees_the_customers_that_own_imports_created_or_updated(alice, bob):
    import_rows(alice, make_row(1), make_row(2))
    import_rows(
        bob, make_row(2, first="Bea"), make_row(3)
    )  # Bob's import skips row 2, which exists.
    assert list_marks(logged_in_client(alice)) == ["MARK 2", "MARK 1"]
    assert list_marks(logged_in_client(bob)) == ["MARK 3"]

    rows = [make_row(1), make_row(2, first="Bea")]  # Row 1 is unchanged.
    import_rows(bob, *rows, on_duplicate="update")

    assert list_marks(logged_in_client(bob)) == ["MARK 3", "MARK 2"]
    assert list_marks(logged_in_client(alice)) == ["MARK 2", "MARK 1"]


def test_an_import_that_is_only_checked_makes_no_customer_visible(alice, bob):
    import_rows(alice, make_row(1))
    job = check_job(
        make_job(make_csv([make_row(1, first="B"), make_row(2)]), owner=bob, check_first=True)
    )
    assert job.status == "READY"
    assert list_marks(logged_in_client(bob)) == []
    job = check_job(make_job(make_csv([make_row(1, first="B")]), owner=bob, on_duplicate="update"))
    assert (job.status, list_marks(logged_in_client(bob))) == ("RUNNING", [])


def test_permissions_for_all_imports_make_no_customer_visible(alice, root, vic):
    import_rows(alice, make_row(1))
    for permission in ("view_all", "control_all"):
        client = logged_in_client(create_user(permission, permission))
        assert list_marks(client) == []
        url = f"/api/customers/{Customer.objects.get().pk}/"
        assert get_error(client.get(url)) == (404, "not_found")
    for user in (root, vic):
        assert list_marks(logged_in_client(user)) == ["MARK 1"]


def test_a_user_without_import_permission_sees_no_customers(alice):
    import_rows(alice, make_row(1))
    alice.user_permissions.clear()
    assert list_marks(logged_in_client(alice)) == []


def test_a_customer_of_another_user_is_404_and_an_anonymous_request_401(alice, bob):
    import_rows(alice, make_row(1))
    url = f"/api/customers/{Customer.objects.get().pk}/"
    assert logged_in_client(alice).get(url).json()["shipping_mark"] == "MARK 1"
    assert get_error(logged_in_client(bob).get(url)) == (404, "not_found")
    assert get_error(logged_in_client(alice).get(f"/api/customers/{10**30}/")) == (404, "not_found")
    assert get_error(Client().get(url)) == (401, "not_authenticated")
    assert get_error(logged_in_client(alice).post("/api/customers/")) == (405, "method_not_allowed")


def test_a_record_of_another_model_with_the_same_key_grants_no_access(alice, bob):
    import_rows(alice, make_row(1))
    job = import_rows(bob, make_row(2))
    ImportJob.objects.filter(pk=job.pk).update(importer="parcels")
    job.rows.update(target_id=str(Customer.objects.get(phone=make_row(1)[4]).pk))

    assert list_marks(logged_in_client(bob)) == []
    (customer,) = list_customers(logged_in_client(alice))
    assert customer["provenance"]["import"] != str(job.pk)


# --- Provenance --------------------------------------------------------------


def test_the_origin_of_a_customer_is_the_row_that_wrote_it_last(alice):
    client = logged_in_client(alice)
    first = import_rows(alice, make_row(1), make_row(2))
    second = import_rows(alice, make_row(9), make_row(2, first="Bea"), on_duplicate="update")
    import_rows(alice, make_row(1, first="Nobody"))  # Skipped.

    found = {customer["shipping_mark"]: customer for customer in list_customers(client)}
    provenance_by_key = {mark: customer["provenance"] for mark, customer in found.items()}

    assert {
        mark: (provenance["import"], provenance["row"])
        for mark, provenance in provenance_by_key.items()
    } == {
        "MARK 1": (str(first.pk), 2),
        "MARK 2": (str(second.pk), 3),
        "MARK 9": (str(second.pk), 2),
    }
    assert tuple(found["MARK 2"][field] for field in FIELDS) == (
        "MARK 2",
        "Bea",
        "Mensah2",
        "ama2@example.com",
        "+233240000002",
    )
    customer = found["MARK 1"]
    assert client.get(f"/api/customers/{customer['id']}/").json() == customer
    assert client.get(customer["provenance"]["url"]).json()["id"] == str(first.pk)


def test_the_origin_depends_on_the_time_of_writing_not_of_the_upload(alice):
    import_rows(alice, make_row(1))
    early, late = (
        import_rows(alice, make_row(1, first=name), on_duplicate="update") for name in ("B", "C")
    )
    ImportBatch.objects.filter(job=early).update(applied_at="2100-01-01T00:00Z")
    (customer,) = list_customers(logged_in_client(alice))
    assert customer["provenance"]["import"] == str(early.pk) != str(late.pk)


def test_the_origin_names_no_import_that_the_user_may_not_see(alice, bob, vic):
    import_rows(alice, make_row(1))
    import_rows(bob, make_row(1, first="Bea"), on_duplicate="update")
    own_job = ImportJob.objects.get(owner=alice)
    assert list_customers(logged_in_client(alice))[0]["provenance"]["import"] == str(own_job.pk)
    assert list_customers(logged_in_client(vic))[0]["provenance"] is None
    Customer.objects.create(shipping_mark="BY HAND", phone="+233200000000")
    assert list_customers(logged_in_client(vic))[0]["provenance"] is None


def test_the_number_of_queries_does_not_depend_on_the_length_of_the_page(alice):
    def count_queries():
        with CaptureQueriesContext(connection) as queries:
            client.get("/api/customers/")
        return len(queries)

    client = logged_in_client(alice)
    import_rows(alice, make_row(1))
    queries_for_one = count_queries()
    import_rows(alice, *(make_row(n) for n in range(2, 30)))
    assert count_queries() == queries_for_one
    customers = list(Customer.objects.all())
    with CaptureQueriesContext(connection) as queries:
        found = provenance.find_provenance(customers, permissions.get_visible_imports(alice))
    # The permissions of a user are read once and kept; this user's are not yet read.
    assert len([query for query in queries if "imports_importrow" in query["sql"]]) == 1
    assert found.keys() == {customer.pk for customer in customers}
    assert provenance.find_provenance([], ImportJob.objects.all()) == {}


# --- Filters and search ------------------------------------------------------


def test_the_list_can_be_filtered_by_import_and_outcome(alice, bob):
    import_rows(bob, make_row(1))
    job = import_rows(alice, make_row(1, first="Bea"), make_row(2), on_duplicate="update")
    client = logged_in_client(alice)
    import_rows(alice, make_row(3))

    assert list_marks(client, **{"import": job.pk}) == ["MARK 2", "MARK 1"]
    assert list_marks(client, **{"import": job.pk, "outcome": "created"}) == ["MARK 2"]
    assert list_marks(client, **{"import": job.pk, "outcome": "updated"}) == ["MARK 1"]
    assert list_marks(client, **{"import": job.pk, "search": "bea"}) == ["MARK 1"]


def test_the_import_filter_shows_neither_hidden_imports_nor_hidden_customers(alice, bob, vic):
    job = import_rows(alice, make_row(1))
    for other in (bob, vic):
        assert get_error(logged_in_client(other).get(f"/api/customers/?import={job.pk}"))[0] == 404
    importer_and_viewer = create_user("both", "add_importjob", "view_all")
    assert list_marks(logged_in_client(importer_and_viewer), **{"import": job.pk}) == []


ROWS = [
    ["ACC-AM 0412", "Ama Serwaa", "Mensah", "ama.mensah@example.com", "024 412 3456"],
    ["ACC-KO 0500", "Kofi", "Owusu", "", "+44 20 7946 0958"],
]


@pytest.mark.parametrize(
    "text",
    [
        "ACC-AM 0412",
        "acc-am  04",
        "AMA.MENSAH@example",
        "ama",
        "serwaa",
        "ama mens",
        "MENSAH a",
        "024 412 3456",
        "+233 24 412-3456",
        "00233244123456",
        "244123456",
        "0244 12",
        "+23324",
        "(024) 4123456",
        " 024 412 3456 ",
        "23324",
    ],
)
def test_search_finds_a_customer_by_parts_of_its_fields(alice, text):
    import_rows(alice, *ROWS)
    assert list_marks(logged_in_client(alice), search=text) == ["ACC-AM 0412"]


@pytest.mark.parametrize(
    "text", ["mens ofi", "ama owusu", "024 412 3457", "02", "%", "_CC", "412", "#REF!", "x" * 254]
)
def test_search_finds_no_customer_for_a_text_that_does_not_match(alice, text):
    import_rows(alice, *ROWS)
    assert list_marks(logged_in_client(alice), search=text) == []


def test_a_search_text_with_a_digit_matches_only_key_fields(alice):
    import_rows(alice, make_row(1, first="Kofi2"))
    assert list_marks(logged_in_client(alice), search="kofi2") == []
    assert list_marks(logged_in_client(alice), search="kofi") == ["MARK 1"]


def test_search_finds_a_foreign_phone_number(vic, alice):
    import_rows(alice, *ROWS)
    for text in ("+442079460958", "+44 20 79", "4420"):
        assert list_marks(logged_in_client(vic), search=text) == ["ACC-KO 0500"]


@pytest.mark.parametrize(
    "query",
    [
        "import=x",
        "search=%00",
        f"search={'x' * 255}",
        "outcome=created",
        "cursor=x",
        "import=00000000-0000-4000-8000-000000000000&outcome=failed",
        "cursor=cD14",
        "cursor=cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk%3D",
    ],
)
def test_an_invalid_query_parameter_is_an_error(alice, query):
    assert get_error(logged_in_client(alice).get(f"/api/customers/?{query}")) == (400, "invalid")


def test_visible_records_can_be_searched_without_http(alice):
    import_rows(alice, *ROWS)
    visible_customers = permissions.get_visible_records(alice, Customer)
    assert search_customers(visible_customers, "kofi").get().last_name == "Owusu"
    assert not permissions.get_visible_records(alice, Parcel).exists()


# --- Pages -------------------------------------------------------------------


def test_new_customers_do_not_shift_later_pages(alice):
    import_rows(alice, *(make_row(n) for n in range(5)))
    client, listed_marks, url = logged_in_client(alice), [], "/api/customers/?page_size=2"
    for n in range(5, 8):
        page = client.get(url).json()
        listed_marks += [customer["shipping_mark"] for customer in page["results"]]
        import_rows(alice, make_row(n))
        url = page["next"]
    assert (url, listed_marks) == (None, [f"MARK {n}" for n in (4, 3, 2, 1, 0)])
    previous_page = client.get(page["previous"]).json()["results"]
    assert [customer["shipping_mark"] for customer in previous_page] == ["MARK 2", "MARK 1"]


def test_an_unchanged_response_is_304(alice):
    import_rows(alice, make_row(1))
    client = logged_in_client(alice)
    for url in ("/api/customers/", f"/api/customers/{Customer.objects.get().pk}/"):
        etag = client.get(url)["ETag"]
        assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
        Customer.objects.update(last_name=f"Other{len(url)}")
        assert client.get(url, headers={"If-None-Match": etag}).status_code == 200
