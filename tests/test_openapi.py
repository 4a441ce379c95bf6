"""The OpenAPI description is complete and valid, and real responses match it."""

import io
import json
import re
import sys
from copy import deepcopy
from uuid import uuid4

import pytest
import yaml
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

from customers.models import Customer
from imports import snapshots
from imports.api import schema_views
from imports.api.openapi.extensions import DELIMITER_PATTERN
from imports.api.serializers import ReadOptionsSerializer
from imports.statuses import Status
from tests.conftest import create_user, logged_in_client
from tests.contract.fuzzing import add_tolerated_values
from tests.factories import check_job, make_csv, make_job, make_row, run_import
from tests.streams import make_job as make_moved_job
from tests.streams import transition
from tests.test_legacy_api import LEGACY_ROOT, make_customer
from tests.test_routes import list_django_urls

pytestmark = pytest.mark.django_db

UNKNOWN_HEADERS = ["Code", "First name", "Last name", "E-mail", "Number"]
CONTENT = make_csv([make_row(1), make_row(2, phone="12"), make_row(1, last="Twice")])
PAGE_URLS = {"api/docs/"}  # Pages are not described.


@pytest.fixture(scope="module")
def published_schema():
    return json.loads(json.dumps(SchemaGenerator().get_schema(public=True)))


@pytest.fixture(scope="module")
def tolerant_schema(published_schema):
    """The description with the values that the site accepts beyond it."""
    return add_tolerated_values(published_schema)


@pytest.fixture(scope="module")
def strict_schema(published_schema):
    """The description without other properties and codes than those that it lists."""
    strict = deepcopy(published_schema)
    forbid_unknown_values(strict["components"]["schemas"])
    return strict


def forbid_unknown_values(part):
    for value in part.values() if isinstance(part, dict) else part:
        if isinstance(value, dict | list):
            forbid_unknown_values(value)
    if isinstance(part, dict) and isinstance(part.get("properties"), dict):
        part.setdefault("additionalProperties", False)
    if isinstance(part, dict) and str(part.get("anyOf", "")).count("Code'}"):
        part["anyOf"].remove({"type": "string"})
        if part["anyOf"][0]["$ref"].endswith("/ErrorCode"):
            # A file that is read inside a request fails with the code of an import.
            part["anyOf"].append({"$ref": "#/components/schemas/ImportErrorCode"})


def list_operations(strict_schema):
    for path, methods in strict_schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def get_request_schema(strict_schema, operation_id, media_type):
    """Return the schema of the request body of a call."""
    operation = next(
        o for *_, o in list_operations(strict_schema) if o["operationId"] == operation_id
    )
    name = operation["requestBody"]["content"][media_type]["schema"]["$ref"].rpartition("/")[2]
    return strict_schema["components"]["schemas"][name]


def validate(value, schema, strict_schema):
    """Validate a value against a schema of the description."""
    whole = schema | {"components": strict_schema["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)


def validate_response(strict_schema, response, operation_id):
    """Return the body of a response, after its status, headers and body are validated."""
    operation = next(
        o for *_, o in list_operations(strict_schema) if o["operationId"] == operation_id
    )
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
    validate(body, answer["content"]["application/json"]["schema"], strict_schema)
    if response.status_code >= 400:
        assert f"`{body['code']}`" in answer["description"]
    return body


# --- Complete and valid ------------------------------------------------------


def test_schema_is_valid_and_generated_without_warnings(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema"))


def test_schema_has_every_route(strict_schema):
    described = {normalise_path(path) for path in strict_schema["paths"]}
    routes = {p for p in list_django_urls() if p.startswith("api/")}

    assert routes - PAGE_URLS == described


def normalise_path(path):
    for placeholder in ("{id}", "{task_id}", "{name}"):
        path = path.replace(placeholder, "x")
    return path.removeprefix("/")


def test_descriptions_are_for_users_of_the_api(published_schema):
    for name, schema in published_schema["components"]["schemas"].items():
        words = schema.get("description", "")
        assert not re.search(r"context|serializer|_FIELDS", words), name


def test_a_page_of_another_site_can_read_every_header(published_schema):
    always_readable = {"Content-Length"}
    never_needed = {"WWW-Authenticate"}
    headers = published_schema["components"]["headers"].keys()
    assert headers - always_readable - never_needed <= set(settings.CORS_EXPOSE_HEADERS)


def test_every_call_has_an_id_a_summary_and_a_known_tag(strict_schema):
    tags = {tag["name"] for tag in strict_schema["tags"]}
    for path, method, operation in list_operations(strict_schema):
        assert operation["summary"], (path, method)
        assert set(operation["tags"]) <= tags
    names = [operation["operationId"] for *_, operation in list_operations(strict_schema)]
    assert len(set(names)) == len(names)
    assert {"imports_list", "imports_create", "imports_start", "excel_upload"} <= set(names)


def test_legacy_template_has_no_importer_parameter(strict_schema):
    parameters = [
        {
            parameter["name"]
            for parameter in strict_schema["paths"][path]["get"].get("parameters", ())
        }
        for path in ("/api/imports/template.xlsx", f"{LEGACY_ROOT}template/")
    ]
    assert parameters == [{"importer"}, set()]


def test_authenticated_calls_describe_security_and_401(strict_schema):
    for *_, operation in list_operations(strict_schema):
        ways = {name for way in operation.get("security", ()) for name in way}
        assert ({"bearer", "session"} <= ways) == ("401" in operation["responses"] and bool(ways))
    events = strict_schema["paths"]["/api/imports/{id}/events/"]["get"]
    assert {"ticket": []} in events["security"]
    assert strict_schema["components"]["securitySchemes"].keys() == {"bearer", "session", "ticket"}


def test_every_example_is_valid(strict_schema):
    count = 0
    for *_, operation in list_operations(strict_schema):
        request_content = operation.get("requestBody", {}).get("content", {})
        for content in request_content.values():
            for example in content.get("examples", {}).values():
                validate(example["value"], content["schema"], strict_schema)
        for answer in operation["responses"].values():
            for media_type, content in answer.get("content", {}).items():
                for example in content.get("examples", {}).values():
                    if media_type == "application/json":
                        validate(example["value"], content["schema"], strict_schema)
                        count += 1
    assert count > 100


def test_delimiter_pattern_matches_what_the_serializer_accepts():
    texts = ["", "tab", "TAB", "\\t", ",,", "x,", "\ufeff", *map(chr, range(0x3000))]
    are_valid = [ReadOptionsSerializer(data={"delimiter": text}).is_valid() for text in texts]
    assert are_valid == [bool(re.fullmatch(DELIMITER_PATTERN, text)) for text in texts]


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


@pytest.mark.parametrize(("changes", "is_valid"), CHANGES)
@pytest.mark.django_db(transaction=True)
def test_change_schema_matches_what_the_view_accepts(alice, tolerant_schema, changes, is_valid):
    schema = get_request_schema(tolerant_schema, "imports_change", "application/json")
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice, check_first=True))
    address = f"/api/imports/{job.pk}/"

    response = logged_in_client(alice).patch(address, changes, content_type="application/json")

    whole = schema | {"components": tolerant_schema["components"]}
    assert Draft202012Validator(whole).is_valid(changes) == is_valid
    assert response.status_code == (202 if is_valid else 400)


@pytest.mark.parametrize(
    ("changed", "is_valid"),
    [
        ({}, True),
        ({"delimiter": "tab", "encoding": "", "check_first": "on"}, True),
        ({"file": ""}, False),
        ({"file": None}, False),
        ({"importer": None}, False),  # The tests have two importers.
        ({"importer": "nobodys"}, False),
        ({"delimiter": "ab"}, False),
        ({"idempotency_key": "mine"}, False),  # The key is a header.
    ],
)
def test_upload_schema(tolerant_schema, changed, is_valid):
    schema = get_request_schema(tolerant_schema, "imports_create", "multipart/form-data")
    form = {"file": "x", "importer": "customers"} | changed

    whole = schema | {"components": tolerant_schema["components"]}
    fields = {name: value for name, value in form.items() if value is not None}
    assert Draft202012Validator(whole).is_valid(fields) == is_valid


# --- Real responses ----------------------------------------------------------


def upload(client, content=CONTENT, **fields):
    file = SimpleUploadedFile("customers.csv", content)
    return client.post("/api/imports/", {"importer": "customers", "file": file} | fields)


def test_responses_of_imports_match_the_schema(alice, strict_schema):
    client = logged_in_client(alice)
    assert (
        validate_response(strict_schema, upload(client), "imports_create")["same_file_as"] is None
    )
    second = validate_response(strict_schema, upload(client), "imports_create")
    assert second["same_file_as"]
    response = client.get(f"/api/imports/{second['id']}/", headers={"Idempotency-Key": "x"})
    validate_response(strict_schema, response, "imports_retrieve")
    assert validate_response(
        strict_schema, client.get("/api/imports/?page_size=1"), "imports_list"
    )["next"]
    unchanged = {"If-None-Match": "*"}
    response = client.get(f"/api/imports/{second['id']}/", headers=unchanged)
    assert response.status_code == 304
    validate_response(strict_schema, response, "imports_retrieve")


@pytest.mark.django_db(transaction=True)
def test_responses_of_rows_and_problems_match_the_schema(alice, strict_schema):
    client, job = logged_in_client(alice), run_import(CONTENT, owner=alice)
    root = f"/api/imports/{job.pk}"
    rows = validate_response(strict_schema, client.get(f"{root}/rows/"), "imports_rows")["results"]
    assert [row["outcome"] for row in rows] == ["created", "failed", "failed"]
    assert validate_response(
        strict_schema, client.get(f"{root}/rows/?page_size=1"), "imports_rows"
    )["next"]
    problems = validate_response(strict_schema, client.get(f"{root}/problems/"), "imports_problems")
    assert len(problems["results"]) == 2
    ready = check_job(make_job(make_csv([make_row(5)]), owner=alice, check_first=True))
    rows = validate_response(
        strict_schema, client.get(f"/api/imports/{ready.pk}/rows/"), "imports_rows"
    )
    assert rows["results"][0]["outcome"] is None


@pytest.mark.django_db(transaction=True)
def test_responses_of_parts_that_are_not_installed_match_the_schema(
    alice, strict_schema, monkeypatch
):
    client, job = logged_in_client(alice), run_import(CONTENT, owner=alice)
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    for address, operation_id, code in (
        (f"{job.pk}/failed-rows.xlsx", "imports_failed_rows_xlsx", "workbooks_not_supported"),
        ("template.xlsx?importer=customers", "imports_template", "workbooks_not_supported"),
        (f"{job.pk}/events/", "imports_events", "streams_not_served"),
        ("events/", "imports_feed", "streams_not_served"),
    ):
        response = client.get(f"/api/imports/{address}")
        assert response.status_code == 501
        assert validate_response(strict_schema, response, operation_id)["code"] == code


@pytest.mark.parametrize("status", [*Status])
def test_snapshot_of_every_status_matches_the_schema(alice, strict_schema, status):
    ends = {Status.COMPLETE, Status.CANCELLED, Status.FAILED, Status.UNDONE}
    before = {Status.UNDONE: Status.UNDOING}.get(status, Status.RUNNING)
    job = make_moved_job(alice, before if status in ends else status)
    job = (
        transition(job, status, error_code="no_rows" if status == "FAILED" else None)
        if (status in ends)
        else job
    )
    validate(
        snapshots.build_snapshot(job),
        {"$ref": "#/components/schemas/ImportSnapshot"},
        strict_schema,
    )


@pytest.mark.django_db(transaction=True)
def test_columns_and_changes_match_the_schema(alice, strict_schema):
    client = logged_in_client(alice)
    job = check_job(
        make_job(
            make_csv([make_row(1)], UNKNOWN_HEADERS), owner=alice, read_options={"delimiter": ","}
        )
    )
    address = f"/api/imports/{job.pk}/"
    job_data = validate_response(strict_schema, client.get(address), "imports_retrieve")
    assert (job_data["status"], job_data["columns"]["missing"]) == (
        "MAPPING",
        ["shipping_mark", "phone"],
    )
    assert (job_data["detected_format"]["format"], job_data["read_options"]) == (
        "csv",
        {"delimiter": ","},
    )
    validate_response(strict_schema, client.get("/api/imports/"), "imports_list")
    for changes, status in (
        ({"column_mapping": {"shipping_mark": "Code", "phone": 4}}, 202),
        ({"on_duplicate": "update"}, 409),  # It is being checked.
        ({"colour": "red"}, 400),
        ({}, 400),
        ("not an object", 400),
    ):
        response = client.patch(address, changes, content_type="application/json")
        validate_response(strict_schema, response, "imports_change")
        assert response.status_code == status
    response = client.patch(address, b"x", content_type="text/plain")
    assert (
        validate_response(strict_schema, response, "imports_change")["code"]
        == "unsupported_media_type"
    )


@pytest.mark.django_db(transaction=True)
def test_preview_matches_the_schema(alice, strict_schema):
    client = logged_in_client(alice)
    done = run_import(make_csv([make_row(1), make_row(2)]), owner=alice)
    rows = make_csv(
        [make_row(1, first="Kofi"), make_row(2), make_row(3, email=""), make_row(4, phone="")]
    )
    options = {"check_first": True, "on_duplicate": "update", "empty_cells": "clear"}
    ready = check_job(make_job(rows, owner=alice, **options))
    address = f"/api/imports/{ready.pk}/preview/"
    result = validate_response(strict_schema, client.get(address), "imports_preview")
    assert [len(result[name]) for name in ("updates", "creates")] == [1, 1]
    conflict = client.get(f"/api/imports/{done.pk}/preview/")
    assert validate_response(strict_schema, conflict, "imports_preview")["code"] == "not_allowed"


@pytest.mark.django_db(transaction=True)
def test_file_responses_match_the_schema(alice, eve, strict_schema):
    client, job = logged_in_client(alice), run_import(CONTENT, owner=alice)
    without_failed_rows = run_import(make_csv([make_row(7)]), owner=alice)
    without_file = make_job(CONTENT, owner=alice)
    without_file.file.storage.delete(without_file.file.name)
    responses = [
        (client.get(f"/api/imports/{job.pk}/file/"), "imports_file"),
        (client.get(f"/api/imports/{job.pk}/failed-rows.xlsx"), "imports_failed_rows_xlsx"),
        (client.get(f"/api/imports/{job.pk}/failed-rows.csv"), "imports_failed_rows_csv"),
        (client.get("/api/imports/template.xlsx?importer=customers"), "imports_template"),
        (client.get(f"{LEGACY_ROOT}template/"), "excel_template"),
        (client.get(f"/api/imports/{without_file.pk}/file/"), "imports_file"),
        (
            client.get(f"/api/imports/{without_failed_rows.pk}/failed-rows.xlsx"),
            "imports_failed_rows_xlsx",
        ),
        (
            client.get(f"/api/imports/{without_failed_rows.pk}/failed-rows.csv"),
            "imports_failed_rows_csv",
        ),
        (client.get("/api/imports/template.xlsx?importer=x"), "imports_template"),
        (logged_in_client(eve).get("/api/imports/template.xlsx"), "imports_template"),
        (Client().get(f"{LEGACY_ROOT}template/"), "excel_template"),
    ]
    for response, operation_id in responses:
        validate_response(strict_schema, response, operation_id)
    statuses = [response.status_code for response, _ in responses]
    assert statuses == [200] * 5 + [404] * 3 + [400, 403, 401]


@pytest.mark.django_db(transaction=True)
def test_responses_of_customers_match_the_schema(alice, root, strict_schema):
    job = run_import(make_csv([make_row(1), make_row(2, email="")]), owner=alice)
    Customer.objects.create(shipping_mark="BY HAND", phone="+233200000000")
    client = logged_in_client(root)
    page = validate_response(
        strict_schema, client.get("/api/customers/?page_size=2"), "customers_list"
    )
    assert [customer["provenance"] is None for customer in page["results"]] == [True, False]
    narrowed = client.get(f"/api/customers/?import={job.pk}&outcome=created&search=ama")
    (one, _) = validate_response(strict_schema, narrowed, "customers_list")["results"][::-1]
    address = f"/api/customers/{one['id']}/"
    assert validate_response(strict_schema, client.get(address), "customers_retrieve") == one
    unchanged = client.get(address, headers={"If-None-Match": "*"})
    validate_response(strict_schema, unchanged, "customers_retrieve")
    assert unchanged.status_code == 304
    queries = ("outcome=created", "import=x", f"import={uuid4()}", "import=&outcome=&search=")
    answers = [client.get(f"/api/customers/?{query}") for query in queries]
    assert all(validate_response(strict_schema, answer, "customers_list") for answer in answers)
    assert [answer.status_code for answer in answers] == [400, 400, 404, 200]


@pytest.mark.django_db(transaction=True)
def test_responses_of_start_and_cancel_match_the_schema(alice, strict_schema):
    client = logged_in_client(alice)
    job = check_job(make_job(make_csv([make_row(1)]), owner=alice, check_first=True))
    for call in ("start", "cancel", "cancel"):
        response = client.post(f"/api/imports/{job.pk}/{call}/")
        validate_response(strict_schema, response, f"imports_{call}")
    assert response.status_code == 409


@pytest.mark.django_db(transaction=True)
def test_legacy_responses_match_the_schema(alice, strict_schema):
    client = logged_in_client(alice)
    file = SimpleUploadedFile("customers.csv", CONTENT)
    checked = validate_response(
        strict_schema, client.post(f"{LEGACY_ROOT}upload/", {"file": file}), "excel_upload"
    )
    assert checked["valid_candidates"]
    assert checked["refused"]
    for call in ("bulk_create_async", "bulk_create"):
        response = post(
            client, call, {"customers": [make_customer(7, phone="12"), make_customer(8)]}
        )
        task = validate_response(strict_schema, response, f"excel_{call}")["task_id"]
    status = client.get(f"{LEGACY_ROOT}bulk-create/status/{task}/")
    assert validate_response(strict_schema, status, "excel_status")["errors"]
    lost = client.get(f"{LEGACY_ROOT}bulk-create/status/{uuid4()}/")
    assert validate_response(strict_schema, lost, "excel_status")["code"] == "not_found"


def post(client, call, body):
    return client.post(
        f"{LEGACY_ROOT}{call.replace('_', '-')}/", body, content_type="application/json"
    )


def test_error_responses_match_the_schema(alice, eve, strict_schema):
    client = logged_in_client(alice)
    job = make_job(CONTENT, owner=alice)
    responses = [
        (Client().get("/api/imports/"), "imports_list"),
        (client.get("/api/imports/?status=x"), "imports_list"),
        (client.get("/api/imports/?page_size=0"), "imports_list"),
        (client.get("/api/imports/", headers={"Accept": "text/html"}), "imports_list"),
        (client.post("/api/imports/", {}), "imports_create"),
        (upload(client, b""), "imports_create"),
        (client.post("/api/imports/", {}, content_type="application/json"), "imports_create"),
        (upload(logged_in_client(eve)), "imports_create"),
        (client.get(f"/api/imports/{uuid4()}/"), "imports_retrieve"),
        (logged_in_client(eve).post(f"/api/imports/{job.pk}/cancel/"), "imports_cancel"),
        (post(client, "bulk_create", {"customers": []}), "excel_bulk_create"),
        (client.post(f"{LEGACY_ROOT}upload/", {}), "excel_upload"),
        (Client().post("/api/auth/token/", {"username": "x", "password": "x"}), "token_create"),
    ]
    statuses = [
        validate_response(strict_schema, *entry) and entry[0].status_code for entry in responses
    ]
    assert statuses == [401, 400, 400, 406, 400, 400, 415, 403, 404, 403, 400, 400, 401]


def test_token_responses_match_the_schema(strict_schema):
    anna = create_user("anna", "add_importjob")
    anna.set_password("a-good-password")
    anna.save()
    sent = {"username": "anna", "password": "a-good-password"}
    tokens = validate_response(
        strict_schema, Client().post("/api/auth/token/", sent), "token_create"
    )
    fresh = Client().post("/api/auth/token/refresh/", {"refresh": tokens["refresh"]})
    validate_response(strict_schema, fresh, "token_refresh")


# --- The view ----------------------------------------------------------------


def test_schema_view_is_public_and_cached_as_json_and_yaml(monkeypatch):
    schema_views.render_schema.cache_clear()
    as_json = Client().get("/api/schema/")
    as_yaml = Client().get("/api/schema/?format=yaml")
    assert as_json.json()["openapi"].startswith("3.1")
    assert yaml.safe_load(io.BytesIO(as_yaml.content)) == as_json.json()
    negotiated = Client().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert negotiated.content == as_yaml.content

    monkeypatch.setattr(schema_views, "SchemaGenerator", None)
    assert Client().get("/api/schema/").content == as_json.content
    tag = {"If-None-Match": as_json["ETag"]}
    assert Client().get("/api/schema/", headers=tag).status_code == 304


def read_importer_names(client, **options):
    schema = client.get("/api/schema/", **options).json()
    (parameter,) = schema["paths"]["/api/imports/template.xlsx"]["get"]["parameters"][:1]
    assert parameter["name"] == "importer"
    return schema["components"]["schemas"]["ImporterName"].get("enum")


@pytest.mark.django_db
def test_schema_names_the_importers_that_its_reader_may_use(alice):
    assert read_importer_names(logged_in_client(alice)) == ["customers", "parcels"]
    clerk = create_user("clerk", "add_importjob", "add_customer", may_write_records=False)
    assert read_importer_names(logged_in_client(clerk)) == ["customers"]
    nobody = create_user("nobody", "add_customer")
    assert read_importer_names(logged_in_client(nobody)) is None
    assert read_importer_names(Client()) is None
    bad_token = {"Authorization": "Bearer expired"}
    assert read_importer_names(Client(), headers=bad_token) is None


def test_schema_ignores_accept_language():
    schema_views.render_schema.cache_clear()
    german = Client().get("/api/schema/", headers={"Accept-Language": "de"}).content
    schema_views.render_schema.cache_clear()
    assert Client().get("/api/schema/").content == german
