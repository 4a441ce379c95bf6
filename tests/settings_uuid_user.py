"""The settings of the tests, with a user model that has a UUID key and no user name."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, SIMPLE_JWT

INSTALLED_APPS = [*INSTALLED_APPS, "tests.accounts"]
AUTH_USER_MODEL = "accounts.Account"
SIMPLE_JWT = SIMPLE_JWT | {"USER_ID_FIELD": "pk"}
