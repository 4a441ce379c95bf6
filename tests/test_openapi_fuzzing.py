"""A fuzzer that reads the description sends requests to a real site with a real worker."""

import pytest
from django.contrib.auth.models import User

from tests.contract.fuzzing import ENVIRONMENT, fuzz
from tests.processes import worker
from tests.streams import running_daphne

pytestmark = pytest.mark.django_db(transaction=True)


def test_generated_requests_get_described_responses_and_no_5xx():
    """A short run. `make fuzz` is a long one."""
    root = User.objects.create_superuser("root")
    with worker(), running_daphne(**ENVIRONMENT) as server:
        address = f"http://127.0.0.1:{server.port}"
        findings = fuzz(address, root, examples=3, options=["--phases", "fuzzing,stateful"])

    assert findings.is_clean, findings.report
    assert findings.examples > 40, findings.report
