"""A pytest plugin with the fixture `run_import`. Name it in the conftest.py of your tests::

pytest_plugins = ["imports.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imports.testing import ImportResult


@pytest.fixture
def run_import(db: None) -> Callable[..., ImportResult]:
    """The function `imports.testing.run_import`, for a test that may use the database."""
    from imports import testing  # Not before Django is set up.

    return testing.run_import
