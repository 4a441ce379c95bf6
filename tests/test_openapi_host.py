"""The description in another project: with settings of its own, and without drf-spectacular.

Each test runs a project in a process of its own, because settings and URLs are read once.
"""

import json
import os
import subprocess
import sys

import pytest

from imports.api.openapi import TITLE
from tests.streams import PROJECT, get_django_environment

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = """
from tests.settings import *

ROOT_URLCONF = "host_urls"
MIDDLEWARE = [name for name in MIDDLEWARE if "imports" not in name]
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
"""
URLS = """
from django.urls import include, path
from rest_framework import serializers
from rest_framework.generics import RetrieveAPIView


class RowSerializer(serializers.Serializer):
    # A name that an app for imports could use too.

    weight = serializers.IntegerField()


class ParcelSerializer(serializers.Serializer):
    status = serializers.ChoiceField(["sent", "lost"])
    rows = RowSerializer(many=True)


class ParcelView(RetrieveAPIView):
    serializer_class = ParcelSerializer


urlpatterns = [
    path("data/", include("imports.urls")),
    path("api/parcels/<int:pk>/", ParcelView.as_view()),
]
"""
FETCH = """
import json
import sys

import django

django.setup()

from django.test import Client

client = Client(headers={"Host": "localhost"})
responses = [client.get(path) for path in sys.argv[1:]]
print(json.dumps([(response.status_code, response.content.decode()) for response in responses]))
"""
GENERATE = """
import sys

import django

django.setup()

from django.core.management import call_command

call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json")
"""


@pytest.fixture
def run_in_project(tmp_path):
    """Run a program in a project with additional settings, and return its output."""

    def run(program, *arguments, settings=""):
        (tmp_path / "host_settings.py").write_text(SETTINGS + settings)
        (tmp_path / "host_urls.py").write_text(URLS)
        environment = {
            **os.environ,
            **get_django_environment(),
            "DJANGO_SETTINGS_MODULE": "host_settings",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)]),
        }
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


HOST_SETTINGS = {
    "none": "",
    "other": """
SPECTACULAR_SETTINGS = {
    "TITLE": "The host",
    "OAS_VERSION": "3.0.3",
    "SCHEMA_PATH_PREFIX_TRIM": True,
    "SCHEMA_PATH_PREFIX": "/data/",
    "COMPONENT_SPLIT_REQUEST": False,
    "CAMELIZE_NAMES": True,
    "ENUM_NAME_OVERRIDES": {"State": "imports.statuses.Status"},
    "POSTPROCESSING_HOOKS": [],
    "SERVE_INCLUDE_SCHEMA": False,
}
""",
}


@pytest.mark.parametrize("settings", HOST_SETTINGS.values(), ids=HOST_SETTINGS)
def test_the_app_describes_itself_whatever_the_project_has_set(run_in_project, settings):
    paths = ["/data/api/schema/", "/data/api/docs/", "/data/api/docs/?script="]
    responses = json.loads(run_in_project(FETCH, *paths, settings=settings))
    content, page, script = (content for _, content in responses)
    schema = json.loads(content)

    assert [status for status, _ in responses] == [200, 200, 200]
    assert (schema["info"]["title"], schema["openapi"]) == (TITLE, "3.1.1")
    assert all(path.startswith("/data/api/") for path in schema["paths"])
    assert "/data/api/imports/{id}/events/" in schema["paths"]
    assert {"ImportStatus", "RowOutcome", "RowErrorCode", "ImportUploadRequest"} <= schema[
        "components"
    ]["schemas"].keys()
    # Texts and examples have the addresses of the project.
    assert "/data/api/auth/token/" in schema["info"]["description"]
    assert '"/api/imports/' not in content
    assert '"/data/api/imports/' in content
    assert '"/data/ws/imports/' in content
    assert f"<title>{TITLE}</title>" in page
    assert "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in page
    assert "/data/api/schema/" in script


def test_the_project_describes_these_calls_with_its_own_in_one_line(run_in_project):
    settings = """
from imports.api import openapi

SPECTACULAR_SETTINGS = {**openapi.SPECTACULAR_SETTINGS, "TITLE": "The host"}
"""
    schema = json.loads(run_in_project(GENERATE, settings=settings))

    assert (schema["info"]["title"], schema["openapi"]) == ("The host", "3.1.1")
    assert "/api/parcels/{id}/" in schema["paths"]
    assert "/data/api/imports/" in schema["paths"]
    enums = {
        tuple(each["enum"]) for each in schema["components"]["schemas"].values() if "enum" in each
    }
    assert ("sent", "lost") in enums
    assert schema["components"]["schemas"]["ImportStatus"]["enum"][0] == "QUEUED"


@pytest.mark.parametrize("version", ["3.0.3", "3.1.1"])
def test_a_description_of_the_project_without_our_settings_is_valid(run_in_project, version):
    settings = f'SPECTACULAR_SETTINGS = {{"TITLE": "The host", "OAS_VERSION": "{version}"}}'
    program = GENERATE.replace(', "--fail-on-warn"', "")
    schema = json.loads(run_in_project(program, settings=settings))

    assert schema["info"]["title"] == "The host"
    assert "/api/parcels/{id}/" in schema["paths"]
    assert "/data/api/imports/" in schema["paths"]


WITHOUT_OPENAPI = """
import sys

sys.modules["drf_spectacular"] = sys.modules["csp"] = None
INSTALLED_APPS = [name for name in INSTALLED_APPS if "spectacular" not in name and name != "csp"]
MIDDLEWARE = [name for name in MIDDLEWARE if "csp" not in name]
REST_FRAMEWORK = {}
ROOT_URLCONF = "host_urls"
"""


def test_without_drf_spectacular_only_the_description_is_absent(run_in_project):
    names = ("schema/", "docs/", "imports/", "imports/template.xlsx")
    paths = [f"/data/api/{name}" for name in names]

    responses = json.loads(run_in_project(FETCH, *paths, settings=WITHOUT_OPENAPI))

    assert [status for status, _ in responses] == [404, 404, 401, 401]


def test_the_page_is_absent_without_its_templates_and_static_files(run_in_project):
    settings = 'INSTALLED_APPS = [name for name in INSTALLED_APPS if "spectacular" not in name]'
    paths = ["/data/api/schema/", "/data/api/docs/", "/data/api/"]

    responses = json.loads(run_in_project(FETCH, *paths, settings=settings))

    assert [status for status, _ in responses] == [200, 404, 200]
    names = {address["name"] for address in json.loads(responses[2][1])["results"]}
    assert "schema" in names
    assert "docs" not in names
