"""The API in a project whose settings of Django REST framework are different."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.streams import get_django_environment

# The process commits, and the flush after the first test deletes what it has written.
pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def answers(django_db_setup):
    """Run tests.hostile in a process of its own, and return the responses by name."""
    return run_project("tests.hostile", "tests.hostile.settings")


def run_project(module, settings):
    """Run a module with these settings, and return the JSON that it prints."""
    environment = {
        **os.environ,
        **get_django_environment(),
        "DJANGO_SETTINGS_MODULE": settings,
    }
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_permissions_and_limits_of_the_project_do_not_apply(answers):
    assert [answers[f"anonymous {name}"]["status"] for name in ("first", "second")] == [401, 401]
    assert answers["anonymous first"]["body"]["code"] == "not_authenticated"


def test_responses_are_the_same_as_in_any_project(answers):
    page = answers["list"]["body"]
    assert (answers["list"]["status"], page.keys()) == (200, {"next", "previous", "results"})
    assert answers["list"]["text"].startswith('{"next":null,"previous":null,"results":[{"id":"')
    (job,) = page["results"]
    assert job["created_at"].endswith("Z")
    assert job["urls"]["self"].startswith("/data/api/imports/")
    assert answers["job"]["body"]["message"] == "Complete"
    assert answers["search"]["body"]["results"] == []
    assert len(answers["since"]["body"]["results"]) == 1
    assert answers["customers"]["body"]["results"][0]["created_at"].endswith("Z")


def test_pages_are_those_of_the_api(answers):
    page = answers["rows"]["body"]
    assert page["next"].startswith("/data/api/imports/")
    assert [row["row"] for row in page["results"]] == [2]


def test_requests_are_parsed_as_in_any_project(answers):
    assert answers["upload"]["status"] == 202
    assert answers["upload"]["location"] == answers["upload"]["body"]["urls"]["self"]


def test_errors_are_those_of_the_api(answers):
    assert (answers["patch"]["status"], answers["html"]["status"]) == (400, 406)
    (error,) = answers["patch"]["body"]["errors"]
    assert (error["field"], error["code"]) == ("non_field_errors", "nothing_to_change")
    assert answers["options"]["status"] == 200


def test_the_description_of_the_api_is_generated(answers):
    assert answers["schema"]["status"] == 200, answers["schema"]["text"]


def test_the_project_is_as_it_was(answers):
    assert json.loads(answers["host"]["text"]) == {
        "permissions": ["AllowAny"],
        "renderers": ["BrowsableAPIRenderer"],
        "handler": "handle_exception",
    }
    assert answers["language"] == "fr"


def test_the_api_works_without_its_optional_packages():
    responses = run_project("tests.hostile.minimal", "tests.hostile.minimal_settings")

    status, body = responses["/api/"]
    assert status == 200
    names = {address["name"] for address in json.loads(body)["results"]}
    assert names == {"importer-list", "template", "import-list", "feed", "health"}
    status, body = responses["/api/imports/"]
    assert status == 401
    assert json.loads(body)["message"].startswith("Log in at /")
    assert responses["/api/schema/"][0] == 404
