"""GET /api/importers/: what an upload form needs."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from imports.api.importer_serializers import OTHER_UPLOAD_FIELDS
from imports.api.serializers import ImportUploadSerializer
from tests.conftest import create_user, logged_in_client
from tests.factories import make_csv, make_row

pytestmark = pytest.mark.django_db


def get_importer(client, name):
    response = client.get(f"/api/importers/{name}/")
    assert response.status_code == 200
    return response.json()


def get_column(importer, field):
    return next(column for column in importer["columns"] if column["field"] == field)


def get_option(importer, name):
    return next(option for option in importer["options"] if option["name"] == name)


def test_the_list_has_all_importers_by_name(alice):
    client = logged_in_client(alice)

    page = client.get("/api/importers/").json()

    assert [importer["name"] for importer in page["results"]] == ["customers", "parcels"]
    assert page["results"] == [get_importer(client, name) for name in ("customers", "parcels")]


def test_who_may_not_import_sees_no_importer():
    client = logged_in_client(create_user("vic", "view_all", "view_customer"))

    assert client.get("/api/importers/").json()["results"] == []
    assert client.get("/api/importers/customers/").status_code == 404


def test_an_unknown_importer_is_404(alice):
    response = logged_in_client(alice).get("/api/importers/nobody/")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_a_column_says_what_its_cells_hold(alice):
    client = logged_in_client(alice)
    customers, parcels = get_importer(client, "customers"), get_importer(client, "parcels")

    mark = get_column(customers, "shipping_mark")
    assert (mark["required"], mark["unique"], mark["type"]) == (True, True, "text")
    assert mark["header"] == "Shipping mark"
    assert mark["max_length"] > 0
    assert get_column(customers, "email")["type"] == "email"
    assert "telephone" in get_column(customers, "phone")["aliases"]
    assert get_column(customers, "phone")["example"]
    assert {column["field"]: column["type"] for column in parcels["columns"]} == {
        "customer": "text",
        "number": "integer",
        "weight": "decimal",
        "sent_on": "date",
        "fragile": "boolean",
        "note": "text",
    }
    lookup = {"record": "customer", "key": "shipping mark"}
    assert get_column(parcels, "customer")["lookup"] == lookup
    assert get_column(parcels, "number")["lookup"] is None


def test_texts_are_english_for_every_reader(alice):
    client = logged_in_client(alice)

    french = client.get("/api/importers/customers/", headers={"Accept-Language": "fr"})

    assert french.json() == get_importer(client, "customers")


def test_options_are_those_of_an_upload(alice):
    importer = get_importer(logged_in_client(alice), "customers")

    names = [option["name"] for option in importer["options"]]
    assert sorted([*names, *OTHER_UPLOAD_FIELDS]) == sorted(ImportUploadSerializer().get_fields())
    policies = get_option(importer, "on_duplicate")
    assert (policies["type"], policies["default"]) == ("choice", "skip")
    assert [choice["value"] for choice in policies["choices"]] == ["skip", "update", "fail"]
    assert get_option(importer, "check_first")["type"] == "boolean"
    assert get_option(importer, "column_mapping")["type"] == "json"
    encodings = [each["value"] for each in get_option(importer, "encoding")["suggestions"]]
    assert "windows-1252" in encodings


def test_every_value_that_is_offered_is_accepted(alice):
    client = logged_in_client(alice)
    importer = get_importer(client, "customers")

    for option in importer["options"]:
        for choice in [*(option["choices"] or ()), *(option["suggestions"] or ())]:
            file = SimpleUploadedFile("a.csv", make_csv([make_row(1)]))
            data = {"importer": "customers", "file": file, option["name"]: choice["value"]}
            assert client.post(importer["urls"]["upload"], data).status_code == 202, choice


def test_the_addresses_of_an_importer_exist(alice):
    client = logged_in_client(alice)
    urls = get_importer(client, "customers")["urls"]

    assert client.get(urls["self"]).json()["urls"] == urls
    template = client.get(urls["template"])
    assert template.status_code == 200
    template.close()
