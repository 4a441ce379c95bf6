"""Customers for programs: who sees whom, where each came from, searching and pages."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from customers.models import Customer
from customers.search import search_customers
from imports import permissions, provenance
from imports.models import ImportBatch, ImportJob
from tests.conftest import create_user, logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.parcels.models import Parcel

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = ("shipping_mark", "first_name", "last_name", "email", "phone")


def imported(owner, *people, **fields):
    return run_import(make_csv(people), owner=owner, **fields)


def asked(client, **query):
    response = client.get("/api/customers/", query)
    assert response.status_code == 200, response.json()
    return response.json()["results"]


def marks(client, **query):
    return [customer["shipping_mark"] for customer in asked(client, **query)]


def code_of(response):
    error = response.json()
    assert error.keys() == {"code", "message", "errors"}
    return response.status_code, error["code"]


@pytest.fixture
def viewer(db):
    """He may see customers, and no import."""
    return create_user("vic", "view_customer")


# --- Who sees whom -----------------------------------------------------------


def test_an_owner_sees_what_own_imports_have_created_or_updated(alice, bob):
    imported(alice, make_row(1), make_row(2))
    imported(bob, make_row(2, first="Bea"), make_row(3))  # He skips 2, who is there.
    assert marks(logged_in_client(alice)) == ["MARK 2", "MARK 1"]
    assert marks(logged_in_client(bob)) == ["MARK 3"]

    again = [make_row(1), make_row(2, first="Bea")]  # Of these, 1 is unchanged.
    imported(bob, *again, on_duplicate="update")

    assert marks(logged_in_client(bob)) == ["MARK 3", "MARK 2"]
    assert marks(logged_in_client(alice)) == ["MARK 2", "MARK 1"]


def test_what_is_only_checked_shows_nobody(alice, bob):
    imported(alice, make_row(1))
    job = check_job(
        make_job(make_csv([make_row(1, first="B"), make_row(2)]), owner=bob, check_first=True)
    )
    assert job.status == "READY"
    assert marks(logged_in_client(bob)) == []
    job = check_job(make_job(make_csv([make_row(1, first="B")]), owner=bob, on_duplicate="update"))
    assert (job.status, marks(logged_in_client(bob))) == ("RUNNING", [])


def test_seeing_or_controlling_every_import_shows_no_customer(alice, root, viewer):
    imported(alice, make_row(1))
    for permission in ("view_all", "control_all"):
        other = logged_in_client(create_user(permission, permission))
        assert marks(other) == []
        address = f"/api/customers/{Customer.objects.get().pk}/"
        assert code_of(other.get(address)) == (404, "not_found")
    for person_who_may in (root, viewer):
        assert marks(logged_in_client(person_who_may)) == ["MARK 1"]


def test_who_lost_the_right_to_import_lost_the_customers(alice):
    imported(alice, make_row(1))
    alice.user_permissions.clear()
    assert marks(logged_in_client(alice)) == []


def test_anothers_customer_is_404_and_nobody_is_401(alice, bob):
    imported(alice, make_row(1))
    address = f"/api/customers/{Customer.objects.get().pk}/"
    assert logged_in_client(alice).get(address).json()["shipping_mark"] == "MARK 1"
    assert code_of(logged_in_client(bob).get(address)) == (404, "not_found")
    assert code_of(logged_in_client(alice).get(f"/api/customers/{10**30}/")) == (404, "not_found")
    assert code_of(Client().get(address)) == (401, "not_authenticated")
    assert code_of(logged_in_client(alice).post("/api/customers/")) == (405, "method_not_allowed")


def test_a_record_of_another_model_with_the_same_key_is_nobodys_customer(alice, bob):
    imported(alice, make_row(1))
    job = imported(bob, make_row(2))
    ImportJob.objects.filter(pk=job.pk).update(importer="parcels")
    job.rows.update(target_id=str(Customer.objects.get(phone=make_row(1)[4]).pk))

    assert marks(logged_in_client(bob)) == []
    (customer,) = asked(logged_in_client(alice))
    assert customer["origin"]["import"] != str(job.pk)


# --- Where each came from ----------------------------------------------------


def test_a_customer_says_which_row_has_written_it_last(alice):
    client = logged_in_client(alice)
    first = imported(alice, make_row(1), make_row(2))
    second = imported(alice, make_row(9), make_row(2, first="Bea"), on_duplicate="update")
    imported(alice, make_row(1, first="Nobody"))  # Skipped.

    found = {customer["shipping_mark"]: customer for customer in asked(client)}

    assert {mark: (c["origin"]["import"], c["origin"]["row"]) for mark, c in found.items()} == {
        "MARK 1": (str(first.pk), 2),
        "MARK 2": (str(second.pk), 3),
        "MARK 9": (str(second.pk), 2),
    }
    assert tuple(found["MARK 2"][field] for field in FIELDS) == (
        *("MARK 2", "Bea", "Mensah2", "ama2@example.com"),
        "+233240000002",
    )
    customer = found["MARK 1"]
    assert client.get(f"/api/customers/{customer['id']}/").json() == customer
    assert client.get(customer["origin"]["url"]).json()["id"] == str(first.pk)


def test_what_was_written_last_counts_not_what_was_uploaded_last(alice):
    imported(alice, make_row(1))
    early, late = (
        imported(alice, make_row(1, first=name), on_duplicate="update") for name in ("B", "C")
    )
    ImportBatch.objects.filter(job=early).update(applied_at="2100-01-01T00:00Z")
    (customer,) = asked(logged_in_client(alice))
    assert customer["origin"]["import"] == str(early.pk) != str(late.pk)


def test_an_origin_shows_no_import_one_may_not_see(alice, bob, viewer):
    imported(alice, make_row(1))
    imported(bob, make_row(1, first="Bea"), on_duplicate="update")
    mine = ImportJob.objects.get(owner=alice)
    assert asked(logged_in_client(alice))[0]["origin"]["import"] == str(mine.pk)
    assert asked(logged_in_client(viewer))[0]["origin"] is None
    Customer.objects.create(shipping_mark="BY HAND", phone="+233200000000")
    assert asked(logged_in_client(viewer))[0]["origin"] is None


def test_a_longer_page_takes_no_more_queries(alice):
    def queries():
        with CaptureQueriesContext(connection) as asked_for:
            signed.get("/api/customers/")
        return len(asked_for)

    signed = logged_in_client(alice)
    imported(alice, make_row(1))
    few = queries()
    imported(alice, *(make_row(n) for n in range(2, 30)))
    assert queries() == few
    customers = list(Customer.objects.all())
    with CaptureQueriesContext(connection) as one:
        found = provenance.find_provenance(customers, permissions.get_visible_imports(alice))
    # Who may see what is asked once for each user; here nobody has asked before.
    assert len([query for query in one if "imports_importrow" in query["sql"]]) == 1
    assert found.keys() == {customer.pk for customer in customers}
    assert provenance.find_provenance([], ImportJob.objects.all()) == {}


# --- By import, by what one remembers ----------------------------------------


def test_a_list_can_be_narrowed_to_an_import_and_what_it_did(alice, bob):
    imported(bob, make_row(1))
    job = imported(alice, make_row(1, first="Bea"), make_row(2), on_duplicate="update")
    client = logged_in_client(alice)
    imported(alice, make_row(3))

    assert marks(client, **{"import": job.pk}) == ["MARK 2", "MARK 1"]
    assert marks(client, **{"import": job.pk, "outcome": "created"}) == ["MARK 2"]
    assert marks(client, **{"import": job.pk, "outcome": "updated"}) == ["MARK 1"]
    assert marks(client, **{"import": job.pk, "search": "bea"}) == ["MARK 1"]


def test_an_import_one_may_not_see_is_404_and_one_may_see_shows_only_own_customers(
    alice, bob, viewer
):
    job = imported(alice, make_row(1))
    for other in (bob, viewer):
        assert code_of(logged_in_client(other).get(f"/api/customers/?import={job.pk}"))[0] == 404
    both = create_user("both", "add_importjob", "view_all")
    assert marks(logged_in_client(both), **{"import": job.pk}) == []


PEOPLE = [
    ["ACC-AM 0412", "Ama Serwaa", "Mensah", "ama.mensah@example.com", "024 412 3456"],
    ["ACC-KO 0500", "Kofi", "Owusu", "", "+44 20 7946 0958"],
]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ACC-AM 0412",
            "acc-am  04",
            "AMA.MENSAH@example",
            "ama",
            "serwaa",
            "ama mens",
            "MENSAH a",
        ),
        *("024 412 3456", "+233 24 412-3456", "00233244123456", "244123456", "0244 12", "+23324"),
        *("(024) 4123456", " 024 412 3456 ", "23324"),
    ],
)
def test_a_customer_is_found_by_what_one_remembers(alice, text):
    imported(alice, *PEOPLE)
    assert marks(logged_in_client(alice), search=text) == ["ACC-AM 0412"]


@pytest.mark.parametrize(
    "text", ["mens ofi", "ama owusu", "024 412 3457", "02", "%", "_CC", "412", "#REF!", "x" * 254]
)
def test_nobody_is_found_by_what_is_not_theirs(alice, text):
    imported(alice, *PEOPLE)
    assert marks(logged_in_client(alice), search=text) == []


def test_what_holds_a_digit_is_looked_for_among_keys_only(alice):
    imported(alice, make_row(1, first="Kofi2"))
    assert marks(logged_in_client(alice), search="kofi2") == []
    assert marks(logged_in_client(alice), search="kofi") == ["MARK 1"]


def test_a_number_of_another_country_is_found(viewer, alice):
    imported(alice, *PEOPLE)
    for text in ("+442079460958", "+44 20 79", "4420"):
        assert marks(logged_in_client(viewer), search=text) == ["ACC-KO 0500"]


@pytest.mark.parametrize(
    "query",
    [
        *(
            "import=x",
            "search=%00",
            f"search={'x' * 255}",
            "outcome=created",
            "cursor=x",
        ),
        *("import=00000000-0000-4000-8000-000000000000&outcome=failed", "cursor=cD14"),
        "cursor=cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk%3D",
    ],
)
def test_a_question_that_makes_no_sense_is_400(alice, query):
    assert code_of(logged_in_client(alice).get(f"/api/customers/?{query}")) == (400, "invalid")


def test_queries_are_callable_without_http(alice):
    imported(alice, *PEOPLE)
    own = permissions.get_visible_records(alice, Customer)
    assert search_customers(own, "kofi").get().last_name == "Owusu"
    assert not permissions.get_visible_records(alice, Parcel).exists()


# --- Pages -------------------------------------------------------------------


def test_what_comes_in_meanwhile_moves_no_page(alice):
    imported(alice, *(make_row(n) for n in range(5)))
    client, seen, address = logged_in_client(alice), [], "/api/customers/?page_size=2"
    for n in range(5, 8):
        page = client.get(address).json()
        seen += [customer["shipping_mark"] for customer in page["results"]]
        imported(alice, make_row(n))
        address = page["next"]
    assert (address, seen) == (None, [f"MARK {n}" for n in (4, 3, 2, 1, 0)])
    back = client.get(page["previous"]).json()["results"]
    assert [customer["shipping_mark"] for customer in back] == ["MARK 2", "MARK 1"]


def test_an_unchanged_page_is_304(alice):
    imported(alice, make_row(1))
    client = logged_in_client(alice)
    for address in ("/api/customers/", f"/api/customers/{Customer.objects.get().pk}/"):
        tag = client.get(address)["ETag"]
        assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
        Customer.objects.update(last_name=f"Other{len(address)}")
        assert client.get(address, headers={"If-None-Match": tag}).status_code == 200
