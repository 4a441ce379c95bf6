"""The form of lists, query parameters, addresses, times and keys, which is one in the whole API."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import clear_script_prefix, set_script_prefix

from customers.models import Customer
from imports import lifecycle, row_results
from imports.models import ImportJob
from imports.snapshots import build_snapshot, format_time
from imports.statuses import Status
from tests.conftest import logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db(transaction=True)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
CONTENT = make_csv([make_row(1), make_row(2, phone="12"), make_row(3, email="x", phone="")])


def get_pages(client, url, direction="next"):
    """Return the pages from this one on, in one direction."""
    pages = []
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.content
        page = response.json()
        assert page.keys() == {"next", "previous", "results"}
        pages.append(page)
        url = page[direction]
    return pages


def get_error_fields(response):
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    return [(error["field"], error["code"]) for error in response.json()["errors"]]


# --- Pages -------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["imports/", "imports/{job}/rows/", "imports/{job}/problems/", "customers/", "importers/", ""],
)
def test_every_list_is_read_forward_and_back_with_page_size_and_cursor(root, path):
    job = run_import(CONTENT, owner=root)
    run_import(make_csv([make_row(7)]), owner=root)
    client, url = logged_in_client(root), f"/api/{path.format(job=job.pk)}"
    everything = client.get(url).json()["results"]

    pages = get_pages(client, f"{url}?page_size=1")
    back = get_pages(client, pages[-1]["previous"], "previous")

    assert len(everything) == len(pages) > 1
    assert [page["results"] for page in pages] == [[result] for result in everything]
    assert [page["results"] for page in back] == [[result] for result in everything[-2::-1]]
    assert pages[0]["previous"] is None
    for query, field, code in (
        ("page_size=0", "page_size", "min_value"),
        ("page_size=5000", "page_size", "max_value"),
        ("page_size=many", "page_size", "invalid"),
        ("cursor=cD14", "cursor", "invalid"),
        ("cursor=x", "cursor", "invalid"),
    ):
        assert get_error_fields(client.get(f"{url}?{query}")) == [(field, code)]


def test_all_problems_can_be_read_and_say_whether_their_count_is_exact(alice, monkeypatch):
    job = run_import(CONTENT, owner=alice)
    client, url = logged_in_client(alice), f"/api/imports/{job.pk}/problems/?page_size=2"
    monkeypatch.setattr(row_results, "MAX_PROBLEMS", 1)  # The limit of the pages.

    problems = [problem for page in get_pages(client, url) for problem in page["results"]]

    assert {(each["field"], each["code"], each["is_count_exact"]) for each in problems} == {
        ("phone", "phone_too_short", True),
        ("phone", "required", True),
        ("email", "email_without_at", True),
    }
    monkeypatch.setattr(row_results, "MAX_GROUPED_ROWS", 1)
    assert [each["is_count_exact"] for each in client.get(url).json()["results"]] == [False]


def test_a_cursor_of_a_problem_that_is_gone_is_an_error(alice):
    job = run_import(CONTENT, owner=alice)
    client = logged_in_client(alice)
    page = client.get(f"/api/imports/{job.pk}/problems/?page_size=1").json()
    job.rows.update(errors=[])

    assert get_error_fields(client.get(page["next"])) == [("cursor", "invalid")]


# --- Query parameters --------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "imports/",
        "imports/{job}/",
        "imports/{job}/rows/",
        "imports/{job}/problems/",
        "imports/{job}/preview/",
        "imports/{job}/file/",
        "imports/{job}/failed-rows.xlsx",
        "imports/{job}/failed-rows.csv",
        "imports/template.xlsx",
        "importers/",
        "importers/customers/",
        "customers/",
        "customers/1/",
        "schema/",
    ],
)
def test_unknown_query_parameters_are_an_error(root, path):
    job = check_job(make_job(CONTENT, owner=root, check_first=True))

    response = logged_in_client(root).get(f"/api/{path.format(job=job.pk)}?colour=red&limit=5")

    errors = get_error_fields(response)
    assert sorted(errors) == [("colour", "unknown_field"), ("limit", "unknown_field")]
    assert response.json()["errors"][0]["message"].startswith("There is no such parameter. Th")


def test_query_parameters_of_calls_that_change_something_are_an_error(alice):
    job = make_job(CONTENT, owner=alice)
    client = logged_in_client(alice)

    responses = [
        client.post("/api/imports/?check_first=true", {"importer": "customers"}),
        client.post(f"/api/imports/{job.pk}/cancel/?now=1"),
        client.patch(f"/api/imports/{job.pk}/?check=1", "{}", content_type="application/json"),
        Client().post("/api/auth/token/?next=/", {"username": "a", "password": "b"}),
    ]

    assert [get_error_fields(response)[0][1] for response in responses] == ["unknown_field"] * 4
    assert ImportJob.objects.get().status == Status.QUEUED


def test_the_earlier_contract_ignores_query_parameters(alice):
    job = make_job(CONTENT, owner=alice)
    excel = "/api/auth/customers/excel"
    client = logged_in_client(alice)

    assert client.get(f"{excel}/bulk-create/status/{job.pk}/?_=1&format=xml").status_code == 200
    template = client.get(f"{excel}/template/?_=1")
    assert template.status_code == 200
    template.close()


def test_statuses_and_outcomes_are_filtered_as_they_are_sent(alice):
    job = run_import(CONTENT, owner=alice)
    client = logged_in_client(alice)
    sent = client.get(f"/api/imports/{job.pk}/").json()
    rows = client.get(sent["urls"]["rows"]).json()["results"]

    (found,) = client.get("/api/imports/", {"status": sent["status"]}).json()["results"]

    assert found["id"] == sent["id"]
    for outcome in {row["outcome"] for row in rows}:
        page = client.get(sent["urls"]["rows"], {"outcome": outcome}).json()
        assert page["results"] == [row for row in rows if row["outcome"] == outcome]


# --- Addresses, times and keys -----------------------------------------------


def list_values(data, name=""):
    """Yield the name and the value of each field of a response."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from list_values(value, key)
    elif isinstance(data, list):
        for value in data:
            yield from list_values(value, name)
    else:
        yield name, data


def read_everything(client, job):
    """Return the responses of all calls that read."""
    own = f"/api/imports/{job.pk}/"
    urls = ["/api/", "/api/importers/", "/api/imports/?page_size=1", own, f"{own}rows/?page_size=1"]
    urls += [f"{own}problems/?page_size=1", "/api/customers/?page_size=1"]
    return [client.get(url).json() for url in urls]


def test_all_addresses_are_paths_without_the_host_name(alice):
    run_import(make_csv([make_row(7), make_row(8)]), owner=alice)
    job = run_import(CONTENT, owner=alice)

    for response in read_everything(logged_in_client(alice), job):
        fields = list(list_values(response))
        addresses = [value for _, value in fields if value and str(value).startswith("/")]
        assert addresses
        assert not [value for _, value in fields if "://" in str(value)]


@pytest.fixture
def script_prefix():
    """Set the prefix, as Django's handlers do for each request; the test client does not."""
    set_script_prefix("/crm/")
    yield "/crm"
    clear_script_prefix()


def test_addresses_have_the_prefix_of_the_site_behind_a_proxy(alice, script_prefix):
    run_import(make_csv([make_row(7), make_row(8)]), owner=alice)
    job = run_import(CONTENT, owner=alice)
    client = logged_in_client(alice, SCRIPT_NAME=script_prefix)

    for response in read_everything(client, job):
        for name, value in list_values(response):
            if value and str(value).startswith("/"):
                assert str(value).startswith("/crm/"), name
    response = client.post(f"/api/imports/{make_job(CONTENT, owner=alice).pk}/cancel/")
    assert response["Location"].startswith("/crm/api/imports/")


def test_all_times_are_in_utc_with_six_decimals(alice, settings):
    settings.TIME_ZONE = "Asia/Kathmandu"
    job = run_import(CONTENT, owner=alice)
    ready = check_job(make_job(CONTENT, owner=alice, check_first=True))
    client = logged_in_client(alice)
    client.post("/api/imports/", {"importer": "customers", "file": make_file()})
    same = client.post("/api/imports/", {"importer": "customers", "file": make_file()}).json()
    assert TIME.fullmatch(same["same_file_as"]["created_at"])

    preview = client.get(f"/api/imports/{ready.pk}/preview/").json()
    times = [
        value
        for response in [*read_everything(client, job), preview, build_snapshot(job)]
        for name, value in list_values(response)
        if name.endswith("_at") and value is not None
    ]

    assert len(times) > 10
    assert not [value for value in times if not TIME.fullmatch(value)]


def make_file():
    return SimpleUploadedFile("customers.csv", CONTENT)


def test_a_time_of_any_zone_is_formatted_in_utc():
    moment = datetime(2026, 11, 2, 14, 45, tzinfo=timezone(timedelta(hours=5, minutes=45)))

    assert format_time(moment) == "2026-11-02T09:00:00.000000Z"
    assert datetime.fromisoformat(format_time(moment)) == moment.astimezone(UTC)


def test_a_time_that_was_sent_can_be_sent_back_as_a_filter(alice):
    jobs = [make_job(CONTENT, owner=alice) for _ in range(3)]
    client = logged_in_client(alice)
    sent = client.get(f"/api/imports/{jobs[1].pk}/").json()["created_at"]

    after = client.get("/api/imports/", {"created_after": sent}).json()["results"]
    before = client.get("/api/imports/", {"created_before": sent}).json()["results"]

    assert [job["id"] for job in after] == [str(jobs[2].pk)]
    assert [job["id"] for job in before] == [str(jobs[0].pk)]


def test_the_key_of_a_record_is_a_text_everywhere(alice):
    job = run_import(CONTENT, owner=alice)
    client, key = logged_in_client(alice), str(Customer.objects.get().pk)

    rows = client.get(f"/api/imports/{job.pk}/rows/?outcome=created").json()["results"]
    customers = client.get("/api/customers/").json()["results"]

    assert [row["record"] for row in rows] == [customer["id"] for customer in customers] == [key]
    assert client.get(f"/api/customers/{key}/").json()["id"] == key


# --- Who is needed -----------------------------------------------------------


def test_an_import_says_what_it_waits_for(alice):
    ready = check_job(make_job(CONTENT, owner=alice, check_first=True))
    unmapped = check_job(make_job(make_csv([make_row(1)], ["A", "B", "C", "D", "E"]), owner=alice))
    waits_for = [build_snapshot(job)["waits_for"] for job in (ready, unmapped)]
    assert waits_for == ["start", "column_mapping"]

    job = lifecycle.start(ready.pk)

    assert build_snapshot(job)["waits_for"] is None
    client = logged_in_client(alice)
    assert client.get(f"/api/imports/{unmapped.pk}/").json()["waits_for"] == "column_mapping"


# --- The root ----------------------------------------------------------------


def test_the_root_lists_addresses_that_exist(alice):
    addresses = Client().get("/api/").json()["results"]

    assert {"import-list", "importer-list", "token", "schema"} <= {one["name"] for one in addresses}
    for address in addresses:
        assert address["description"].endswith(".")
        # The feed is a stream, which Django does not serve. The health is bad without a worker.
        response = logged_in_client(alice).get(address["url"])
        assert response.status_code in {200, 400, 405, 501, 503}
        response.close()
