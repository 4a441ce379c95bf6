"""Send requests to a project without the optional packages of the API; print the responses."""

import json
import sys

MISSING_PACKAGES = ("drf_spectacular", "drf_spectacular_sidecar", "rest_framework_simplejwt", "csp")
sys.modules.update(dict.fromkeys(MISSING_PACKAGES))  # Python refuses to import them.

import django  # noqa: E402

django.setup()

from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

setup_test_environment()
responses = {path: Client().get(path) for path in ("/api/", "/api/imports/", "/api/schema/")}
json.dump(
    {
        path: [response.status_code, response.content.decode()]
        for path, response in responses.items()
    },
    sys.stdout,
)
