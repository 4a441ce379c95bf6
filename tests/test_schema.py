"""The description of the API: complete, valid, and true to what is answered."""

import io
import json
import re
from copy import deepcopy
from uuid import uuid4

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

from customers.models import Customer
from imports import snapshots
from imports.api import schema_views
from imports.api.call_descriptions import DELIMITER
from imports.api.serializers import ReadOptionsSerializer
from imports.live import routing
from imports.statuses import Status
from tests.conftest import signed_in, user
from tests.factories import check, csv_file, make_job, person, run_import
from tests.streams import make_job as make_moved_job
from tests.streams import move
from tests.test_excel import ROOT, customer
from tests.test_routes import django_addresses

pytestmark = pytest.mark.django_db

ODD = ["Code", "First name", "Last name", "E-mail", "Number"]
CONTENT = csv_file([person(1), person(2, phone="12"), person(1, last="Twice")])
PAGES = {"api/docs/"}  # For people.


@pytest.fixture(scope="module")
def published():
    return json.loads(json.dumps(SchemaGenerator().get_schema(public=True)))


@pytest.fixture(scope="module")
def described(published):
    """The description, read as strictly as can be: what it does not name is not allowed."""
    strict = deepcopy(published)
    close(strict["components"]["schemas"])
    return strict


def close(part):
    for value in part.values() if isinstance(part, dict) else part:
        if isinstance(value, dict | list):
            close(value)
    if isinstance(part, dict) and isinstance(part.get("properties"), dict):
        part.setdefault("additionalProperties", False)


def operations(described):
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def sent(described, operation_id, media_type):
    """The schema of what a call takes."""
    operation = next(o for *_, o in operations(described) if o["operationId"] == operation_id)
    name = operation["requestBody"]["content"][media_type]["schema"]["$ref"].rpartition("/")[2]
    return described["components"]["schemas"][name]


def hold(value, schema, described):
    """Fail unless the value is as the schema says."""
    whole = schema | {"components": described["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)


def conforms(described, response, operation_id):
    """The answer's body, if its status, headers and body are as described."""
    operation = next(o for *_, o in operations(described) if o["operationId"] == operation_id)
    answer = operation["responses"][str(response.status_code)]
    missing = [name for name in answer.get("headers", {}) if name not in response.headers]
    assert not missing
    if response.streaming:
        assert response["Content-Type"].partition(";")[0] in answer["content"]
        response.close()
        return None
    if "content" not in answer:
        assert not response.content
        return None
    body = response.json()
    hold(body, answer["content"]["application/json"]["schema"], described)
    if response.status_code >= 400:
        assert f"`{body['code']}`" in answer["description"]
    return body


# --- Whole and valid ---------------------------------------------------------


def test_it_is_valid_and_made_without_a_warning(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema"))


def test_every_route_is_in_it(described):
    known = {plain(path) for path in described["paths"]}
    routes = {p for p in django_addresses() if p.startswith("api/")}
    streams = {plain(path) for path in (routing.EVENTS, routing.FEED)}

    assert routes - PAGES - {"api/"} | streams == known


def plain(path):
    for placeholder in ("{id}", "{task_id}", "<uuid:job_id>"):
        path = path.replace(placeholder, "x")
    return path.removeprefix("/")


def test_every_call_has_a_name_a_summary_and_a_tag_that_is_explained(described):
    tags = {tag["name"] for tag in described["tags"]}
    for path, method, operation in operations(described):
        assert operation["summary"], (path, method)
        assert set(operation["tags"]) <= tags
    names = [operation["operationId"] for *_, operation in operations(described)]
    assert len(set(names)) == len(names)
    assert {"imports_list", "imports_create", "imports_start", "excel_upload"} <= set(names)


def test_a_template_for_one_importer_asks_for_none(described):
    asked = [
        {one["name"] for one in described["paths"][path]["get"].get("parameters", ())}
        for path in ("/api/imports/template.xlsx", f"{ROOT}template/")
    ]
    assert asked == [{"importer"}, set()]


def test_every_call_that_asks_who_you_are_says_how_to_and_what_if_not(described):
    for *_, operation in operations(described):
        ways = {name for way in operation.get("security", ()) for name in way}
        assert ({"bearer", "session"} <= ways) == ("401" in operation["responses"] and bool(ways))
    events = described["paths"]["/api/imports/{id}/events/"]["get"]
    assert {"ticket": []} in events["security"]
    assert described["components"]["securitySchemes"].keys() == {"bearer", "session", "ticket"}


def test_every_example_is_as_its_schema_says(described):
    shown = 0
    for *_, operation in operations(described):
        sent = operation.get("requestBody", {}).get("content", {})
        for content in sent.values():
            for example in content.get("examples", {}).values():
                hold(example["value"], content["schema"], described)
        for answer in operation["responses"].values():
            for media_type, content in answer.get("content", {}).items():
                for example in content.get("examples", {}).values():
                    if media_type == "application/json":
                        hold(example["value"], content["schema"], described)
                        shown += 1
    assert shown > 100


def test_a_delimiter_is_described_as_it_is_taken():
    texts = ["", "tab", "TAB", "\\t", ",,", "x,", "\ufeff", *map(chr, range(0x3000))]
    taken = [ReadOptionsSerializer(data={"delimiter": text}).is_valid() for text in texts]
    assert taken == [bool(re.fullmatch(DELIMITER, text)) for text in texts]


CHANGES = [
    ({"column_mapping": {"phone": 4, "email": None, "last_name": "Last name"}}, True),
    ({"column_mapping": {"phone": "Phone"}, "has_header_row": True}, True),
    ({"sheet": 2024, "encoding": "", "delimiter": "tab"}, True),
    ({"sheet": "2024", "on_duplicate": "update", "empty_cells": "clear"}, True),
    ({"has_header_row": "false"}, True),
    ({}, False),
    ({"colour": "red"}, False),
    ({"delimiter": "ab"}, False),
    ({"on_duplicate": "maybe"}, False),
    ({"has_header_row": "perhaps"}, False),
    ({"sheet": ["A"]}, False),
    ({"column_mapping": {"phone": ["Number"]}}, False),
    ({"column_mapping": {"phone": 4}, "sheet": "A"}, False),
    ({"column_mapping": {"phone": 4}, "encoding": "cp1252"}, False),
    ({"column_mapping": {"phone": 4}, "delimiter": ","}, False),
]


@pytest.mark.parametrize(("changes", "is_taken"), CHANGES)
@pytest.mark.django_db(transaction=True)
def test_a_change_is_described_as_it_is_taken(alice, published, changes, is_taken):
    schema = sent(published, "imports_change", "application/json")
    job = check(make_job(csv_file([person(1)]), owner=alice, check_first=True))
    address = f"/api/imports/{job.pk}/"

    response = signed_in(alice).patch(address, changes, content_type="application/json")

    whole = schema | {"components": published["components"]}
    assert Draft202012Validator(whole).is_valid(changes) == is_taken
    assert response.status_code == (202 if is_taken else 400)


@pytest.mark.parametrize(
    ("changed", "is_taken"),
    [
        ({}, True),
        ({"delimiter": "tab", "encoding": "", "check_first": "on"}, True),
        ({"file": ""}, False),
        ({"file": None}, False),
        ({"importer": None}, False),  # There are two of them here.
        ({"importer": "nobodys"}, False),
        ({"delimiter": "ab"}, False),
        ({"idempotency_key": "mine"}, False),  # It is a header.
    ],
)
def test_an_upload_is_described_with_its_file(described, changed, is_taken):
    schema = sent(described, "imports_create", "multipart/form-data")
    form = {"file": "x", "importer": "customers"} | changed

    whole = schema | {"components": described["components"]}
    given = {name: value for name, value in form.items() if value is not None}
    assert Draft202012Validator(whole).is_valid(given) == is_taken


# --- True --------------------------------------------------------------------


def upload(client, content=CONTENT, **fields):
    file = SimpleUploadedFile("customers.csv", content)
    return client.post("/api/imports/", {"importer": "customers", "file": file} | fields)


def test_what_imports_answer_is_as_described(alice, described):
    client = signed_in(alice)
    assert conforms(described, upload(client), "imports_create")["same_file_as"] is None
    again = conforms(described, upload(client), "imports_create")
    assert again["same_file_as"]
    found = client.get(f"/api/imports/{again['id']}/", headers={"Idempotency-Key": "x"})
    conforms(described, found, "imports_retrieve")
    assert conforms(described, client.get("/api/imports/?page_size=1"), "imports_list")["next"]
    unchanged = {"If-None-Match": "*"}
    response = client.get(f"/api/imports/{again['id']}/", headers=unchanged)
    assert response.status_code == 304
    conforms(described, response, "imports_retrieve")


@pytest.mark.django_db(transaction=True)
def test_what_became_of_rows_is_told_as_described(alice, described):
    client, job = signed_in(alice), run_import(CONTENT, owner=alice)
    root = f"/api/imports/{job.pk}"
    rows = conforms(described, client.get(f"{root}/rows/"), "imports_rows")["results"]
    assert [row["outcome"] for row in rows] == ["created", "failed", "failed"]
    assert conforms(described, client.get(f"{root}/rows/?limit=1"), "imports_rows")["next"]
    problems = conforms(described, client.get(f"{root}/problems/"), "imports_problems")
    assert len(problems["results"]) == 2
    ready = check(make_job(csv_file([person(5)]), owner=alice, check_first=True))
    rows = conforms(described, client.get(f"/api/imports/{ready.pk}/rows/"), "imports_rows")
    assert rows["results"][0]["outcome"] is None


@pytest.mark.parametrize("status", [*Status])
def test_a_snapshot_is_as_described_whatever_the_status(alice, described, status):
    ends = {Status.COMPLETE, Status.CANCELLED, Status.FAILED, Status.UNDONE}
    before = {Status.UNDONE: Status.UNDOING}.get(status, Status.RUNNING)
    job = make_moved_job(alice, before if status in ends else status)
    job = (
        move(job, status, error_code="no_rows" if status == "FAILED" else None)
        if (status in ends)
        else job
    )
    hold(snapshots.build_snapshot(job), {"$ref": "#/components/schemas/Snapshot"}, described)


@pytest.mark.django_db(transaction=True)
def test_what_a_file_holds_and_how_it_is_changed_is_as_described(alice, described):
    client = signed_in(alice)
    job = check(make_job(csv_file([person(1)], ODD), owner=alice, read_options={"delimiter": ","}))
    address = f"/api/imports/{job.pk}/"
    found = conforms(described, client.get(address), "imports_retrieve")
    assert (found["status"], found["columns"]["missing"]) == ("MAPPING", ["shipping_mark", "phone"])
    assert (found["detected_format"]["format"], found["read_options"]) == (
        "csv",
        {"delimiter": ","},
    )
    conforms(described, client.get("/api/imports/"), "imports_list")
    for changes, status in (
        ({"column_mapping": {"shipping_mark": "Code", "phone": 4}}, 202),
        ({"on_duplicate": "update"}, 409),  # It is being checked.
        ({"colour": "red"}, 400),
        ({}, 400),
        ("not an object", 400),
    ):
        response = client.patch(address, changes, content_type="application/json")
        conforms(described, response, "imports_change")
        assert response.status_code == status
    response = client.patch(address, b"x", content_type="text/plain")
    assert conforms(described, response, "imports_change")["code"] == "unsupported_media_type"


@pytest.mark.django_db(transaction=True)
def test_what_an_import_would_do_is_told_as_described(alice, described):
    client = signed_in(alice)
    done = run_import(csv_file([person(1), person(2)]), owner=alice)
    rows = csv_file([person(1, first="Kofi"), person(2), person(3, email=""), person(4, phone="")])
    options = {"check_first": True, "on_duplicate": "update", "empty_cells": "clear"}
    ready = check(make_job(rows, owner=alice, **options))
    address = f"/api/imports/{ready.pk}/preview/"
    found = conforms(described, client.get(address), "imports_preview")
    assert [len(found[name]) for name in ("updates", "creates")] == [1, 1]
    refused = client.get(f"/api/imports/{done.pk}/preview/")
    assert conforms(described, refused, "imports_preview")["code"] == "not_allowed"


@pytest.mark.django_db(transaction=True)
def test_files_are_as_described(alice, eve, described):
    client, job = signed_in(alice), run_import(CONTENT, owner=alice)
    whole = run_import(csv_file([person(7)]), owner=alice)
    gone = make_job(CONTENT, owner=alice)
    gone.file.storage.delete(gone.file.name)
    asked = [
        (client.get(f"/api/imports/{job.pk}/file/"), "imports_file"),
        (client.get(f"/api/imports/{job.pk}/failed-rows.xlsx"), "imports_failed_rows_xlsx"),
        (client.get(f"/api/imports/{job.pk}/failed-rows.csv"), "imports_failed_rows_csv"),
        (client.get("/api/imports/template.xlsx?importer=customers"), "imports_template"),
        (client.get(f"{ROOT}template/"), "excel_template"),
        (client.get(f"/api/imports/{gone.pk}/file/"), "imports_file"),
        (client.get(f"/api/imports/{whole.pk}/failed-rows.xlsx"), "imports_failed_rows_xlsx"),
        (client.get(f"/api/imports/{whole.pk}/failed-rows.csv"), "imports_failed_rows_csv"),
        (client.get("/api/imports/template.xlsx?importer=x"), "imports_template"),
        (signed_in(eve).get("/api/imports/template.xlsx"), "imports_template"),
        (Client().get(f"{ROOT}template/"), "excel_template"),
    ]
    for response, operation_id in asked:
        conforms(described, response, operation_id)
    statuses = [response.status_code for response, _ in asked]
    assert statuses == [200] * 5 + [404] * 3 + [400, 403, 401]


@pytest.mark.django_db(transaction=True)
def test_customers_are_as_described(alice, root, described):
    job = run_import(csv_file([person(1), person(2, email="")]), owner=alice)
    Customer.objects.create(shipping_mark="BY HAND", phone="+233200000000")
    client = signed_in(root)
    page = conforms(described, client.get("/api/customers/?page_size=2"), "customers_list")
    assert [customer["origin"] is None for customer in page["results"]] == [True, False]
    narrowed = client.get(f"/api/customers/?import={job.pk}&outcome=created&search=ama")
    (one, _) = conforms(described, narrowed, "customers_list")["results"][::-1]
    address = f"/api/customers/{one['id']}/"
    assert conforms(described, client.get(address), "customers_retrieve") == one
    unchanged = client.get(address, headers={"If-None-Match": "*"})
    conforms(described, unchanged, "customers_retrieve")
    assert unchanged.status_code == 304
    queries = ("outcome=created", "import=x", f"import={uuid4()}", "import=&outcome=&search=")
    answers = [client.get(f"/api/customers/?{query}") for query in queries]
    assert all(conforms(described, answer, "customers_list") for answer in answers)
    assert [answer.status_code for answer in answers] == [400, 400, 404, 200]


@pytest.mark.django_db(transaction=True)
def test_starting_and_cancelling_answer_as_described(alice, described):
    client = signed_in(alice)
    job = check(make_job(csv_file([person(1)]), owner=alice, check_first=True))
    for call in ("start", "cancel", "cancel"):
        response = client.post(f"/api/imports/{job.pk}/{call}/")
        conforms(described, response, f"imports_{call}")
    assert response.status_code == 409


@pytest.mark.django_db(transaction=True)
def test_the_earlier_calls_answer_as_described(alice, described):
    client = signed_in(alice)
    file = SimpleUploadedFile("customers.csv", CONTENT)
    checked = conforms(described, client.post(f"{ROOT}upload/", {"file": file}), "excel_upload")
    assert checked["valid_candidates"]
    assert checked["refused"]
    for call in ("bulk_create_async", "bulk_create"):
        response = post(client, call, {"customers": [customer(7, phone="12"), customer(8)]})
        task = conforms(described, response, f"excel_{call}")["task_id"]
    status = client.get(f"{ROOT}bulk-create/status/{task}/")
    assert conforms(described, status, "excel_status")["errors"]
    lost = client.get(f"{ROOT}bulk-create/status/{uuid4()}/")
    assert conforms(described, lost, "excel_status")["code"] == "not_found"


def post(client, call, body):
    return client.post(f"{ROOT}{call.replace('_', '-')}/", body, content_type="application/json")


def test_refusals_are_as_described(alice, eve, described):
    client = signed_in(alice)
    job = make_job(CONTENT, owner=alice)
    refused = [
        (Client().get("/api/imports/"), "imports_list"),
        (client.get("/api/imports/?status=x"), "imports_list"),
        (client.get("/api/imports/?page_size=0"), "imports_list"),
        (client.get("/api/imports/", headers={"Accept": "text/html"}), "imports_list"),
        (client.post("/api/imports/", {}), "imports_create"),
        (upload(client, b""), "imports_create"),
        (client.post("/api/imports/", {}, content_type="application/json"), "imports_create"),
        (upload(signed_in(eve)), "imports_create"),
        (client.get(f"/api/imports/{uuid4()}/"), "imports_retrieve"),
        (signed_in(eve).post(f"/api/imports/{job.pk}/cancel/"), "imports_cancel"),
        (post(client, "bulk_create", {"customers": []}), "excel_bulk_create"),
        (client.post(f"{ROOT}upload/", {}), "excel_upload"),
        (Client().post("/api/auth/token/", {"username": "x", "password": "x"}), "token_create"),
    ]
    statuses = [conforms(described, *one) and one[0].status_code for one in refused]
    assert statuses == [401, 400, 400, 406, 400, 400, 415, 403, 404, 403, 400, 400, 401]


def test_tokens_are_as_described(described):
    anna = user("anna", "add_importjob")
    anna.set_password("a-good-password")
    anna.save()
    sent = {"username": "anna", "password": "a-good-password"}
    tokens = conforms(described, Client().post("/api/auth/token/", sent), "token_create")
    fresh = Client().post("/api/auth/token/refresh/", {"refresh": tokens["refresh"]})
    conforms(described, fresh, "token_refresh")


# --- To be had ---------------------------------------------------------------


def test_anybody_gets_it_as_json_or_yaml_made_once(monkeypatch):
    schema_views.rendered.cache_clear()
    as_json = Client().get("/api/schema/")
    as_yaml = Client().get("/api/schema/?format=yaml")
    assert as_json.json()["openapi"].startswith("3.1")
    assert yaml.safe_load(io.BytesIO(as_yaml.content)) == as_json.json()
    asked = Client().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert asked.content == as_yaml.content

    monkeypatch.setattr(schema_views, "SchemaGenerator", None)
    assert Client().get("/api/schema/").content == as_json.content
    tag = {"If-None-Match": as_json["ETag"]}
    assert Client().get("/api/schema/", headers=tag).status_code == 304


def test_it_is_english_whatever_the_browser_asks_for():
    schema_views.rendered.cache_clear()
    german = Client().get("/api/schema/", headers={"Accept-Language": "de"}).content
    schema_views.rendered.cache_clear()
    assert Client().get("/api/schema/").content == german
