"""Generated requests to every page and download: no response is a 5xx.

The API has a fuzzer of its own, which reads its description: see `tests.contract.fuzzing`.
FUZZED_REQUESTS is the number of requests to each address, and FUZZ_SEED their seed.
"""

import os
import re
from random import Random
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, get_resolver

from customers.models import Customer
from imports.models import ImportRow
from tests.conftest import logged_in_client
from tests.factories import check_job, make_csv, make_job, make_row, run_import

pytestmark = pytest.mark.django_db(transaction=True)

REQUESTS = int(os.environ.get("FUZZED_REQUESTS", "6"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
SPECIAL_CHARACTERS = re.compile(r"[\^$\\]|\(\?[^)]*\)")
TEXTS = (
    "", " ", "0", "-1", "1", "2", "9" * 30, "1e309", "NaN", "None", "null", "true", "\0", "a\0b",
    "\x1b[0m", "\u202e", "\ud800", "é" * 300, "%", "%00", "'; --", "<script>", "../../etc/passwd",
    "//evil.example", "\r\nX: y", "{{ x }}", "%s", "2026-02-30", "9999-12-31T23:59:59Z",
    "customers", "update", "MAPPING", "[]", "x" * 9_000,
)  # fmt: skip
NAMES = (
    "page", "q", "p", "o", "e", "all", "importer", "import", "before", "corrects", "next",
    "status", "status__exact", "outcome", "on_duplicate", "sheet", "encoding", "delimiter",
    "has_header_row", "check_first", "version", "action", "select_across", "_selected_action",
    "index", "run", "field", "column", "code", "id__in", "owner__id__exact",
    "csrfmiddlewaretoken", "_save", "_popup", "_to_field", "column_first_name", "value_country",
    "format",
)  # fmt: skip
METHODS = ("get", "get", "get", "post", "post", "head", "options", "put", "delete", "patch")
# These end the session, or change the account of the test.
EXCLUDED = re.compile("^accounts/(log|pass)")


def list_addresses(patterns, prefix=""):
    for pattern in patterns:
        address = prefix + SPECIAL_CHARACTERS.sub("", str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield address
        else:
            yield from list_addresses(pattern.url_patterns, address)


ADDRESSES = sorted({
    address
    for address in list_addresses(get_resolver().url_patterns)
    if not address.startswith(("admin/", "api/", "ws/")) and not EXCLUDED.match(address)
})  # fmt: skip


def encode(text: str) -> str | bytes:
    """Return a text that the client can encode: a lone surrogate is no UTF-8."""
    return text.encode("utf-8", "surrogatepass") if "\ud800" in text else text


def make_parameters(rng: Random, ids: list[str]) -> dict[str, list[str | bytes]]:
    values = [*map(encode, TEXTS), *ids]
    return {
        rng.choice(NAMES): [rng.choice(values) for _ in range(rng.choice((1, 1, 3)))]
        for _ in range(rng.randrange(5))
    }


def make_address(address: str, rng: Random, ids: list[str]) -> str:
    choices = [*ids, *ids, str(uuid4()), "0", "x", "..", "%00"]
    return "/" + PARAMETER.sub(lambda _: rng.choice(choices), address)


def send(client, rng: Random, address: str, ids: list[str]):
    method = rng.choice(METHODS)
    headers = rng.choice(({}, {"Accept": "application/json"}, {"Accept-Language": "fr"}))
    parameters = make_parameters(rng, ids)
    if method in {"get", "head"}:
        return getattr(client, method)(address, parameters, headers=headers)
    if method == "post":
        if rng.random() < 0.3:
            name, content = rng.choice(("a.csv", "", "\u202e.xlsx")), rng.choice((b"", b"a,b\n1,2"))
            parameters["file"] = SimpleUploadedFile(name or "x", content)
        return client.post(address, parameters, headers=headers)
    body = rng.choice((b"", b"{", b"\xff\xfe", b"[[[[1]]]]", b"a=1&a=2"))
    kind = rng.choice(("application/json", "text/plain", "application/x-www-form-urlencoded"))
    return getattr(client, method)(address, body, content_type=kind, headers=headers)


@pytest.fixture
def ids(alice):
    """Return the ids of an import in each state that has its own pages, of a row and a customer."""
    rows = [make_row(1), make_row(2, phone="12")]
    done = run_import(make_csv(rows), owner=alice)
    ready = check_job(make_job(make_csv([make_row(3)]), owner=alice, check_first=True))
    mapping = check_job(
        make_job(make_csv(rows, ["Code", "First", "Last", "E-mail", "No"]), owner=alice)
    )
    failed = check_job(make_job(b"%PDF-1.7", owner=alice))
    others = [ImportRow.objects.filter(job=done)[0].pk, Customer.objects.all()[0].pk]
    return [*(str(job.pk) for job in (done, ready, mapping, failed)), *map(str, others)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_generated_request_to_a_page_fails(address, alice, ids, settings):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    client = logged_in_client(alice)
    client.raise_request_exception = True
    rng = Random(f"{SEED} {address}")

    for number in range(REQUESTS):
        path = make_address(address, rng, ids)
        response = send(client, rng, path, ids)
        if response.streaming and not response.is_async:
            b"".join(response.streaming_content)
        assert response.status_code < 500, (number, path)


def test_the_addresses_of_pages_and_downloads_are_requested():
    assert len(ADDRESSES) > 20
    for address in ("", "imports/<uuid:pk>/file/", "imports/<uuid:pk>/rows/", "customers/"):
        assert address in ADDRESSES
