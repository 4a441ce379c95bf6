"""Send requests to the project and print the responses as JSON.

tests/test_api_settings.py runs this module in a process of its own, because Django REST framework
reads most settings when it is imported.
"""

import json
import sys

import django

django.setup()

from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402
from django.utils.translation import activate, get_language  # noqa: E402

from tests.conftest import create_user  # noqa: E402
from tests.factories import make_csv, make_row, run_import  # noqa: E402


def main():
    setup_test_environment()
    activate("fr")
    answers = {}

    def record(name, response):
        body = response.content.decode()
        is_json = response["Content-Type"] == "application/json"
        answers[name] = {
            "status": response.status_code,
            "type": response["Content-Type"],
            "location": response.headers.get("Location"),
            "text": body if len(body) < 20_000 else "",
            "body": json.loads(body) if is_json else None,
        }

    alice = create_user("hostile-alice", "add_importjob")
    job = run_import(make_csv([make_row(1), make_row(2, phone="1")]), owner=alice)
    client, stranger = Client(), Client(raise_request_exception=False)
    client.force_login(alice)
    file = SimpleUploadedFile("a.csv", make_csv([make_row(3)]))
    for name in ("first", "second"):
        record(f"anonymous {name}", stranger.get("/data/api/imports/"))
    record("list", client.get("/data/api/imports/"))
    record("search", client.get("/data/api/imports/?search=nothing"))
    record("since", client.get("/data/api/imports/?created_after=2026-01-01T00:00Z"))
    record("job", client.get(f"/data/api/imports/{job.pk}/"))
    record("rows", client.get(f"/data/api/imports/{job.pk}/rows/?page_size=1"))
    record("upload", client.post("/data/api/imports/", {"importer": "customers", "file": file}))
    record(
        "patch",
        client.patch(f"/data/api/imports/{job.pk}/", "{}", content_type="application/json"),
    )
    record("html", client.get("/data/api/imports/", headers={"Accept": "text/html"}))
    record("options", client.options("/data/api/imports/"))
    record("schema", stranger.get("/data/api/schema/"))
    record("customers", client.get("/data/api/customers/"))
    record("host", client.get("/host/"))
    answers["language"] = get_language()
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
