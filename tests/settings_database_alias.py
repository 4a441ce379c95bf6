"""The settings of the tests, with the imports in another database than "default"."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DATABASES = {
    # A database that cannot hold the imports, so that a query with the wrong alias fails.
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "imports": DATABASES["default"],
}
DATABASE_ROUTERS = ["tests.routers.ImportsRouter"]
