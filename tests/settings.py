"""The settings of the site, and an app with a second importer that is independent of customers."""

from config.settings import *  # noqa: F403
from config.settings import IMPORTS_THROTTLE_RATES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.parcels"]
# Tests must not be throttled.
IMPORTS_THROTTLE_RATES = dict.fromkeys(IMPORTS_THROTTLE_RATES, "100000/s")
WHITENOISE_AUTOREFRESH = True  # Find files at a request instead of scanning all for each client.
# Tests upload faster than people. tests/test_quotas.py sets the quotas itself.
IMPORTS_MAX_UPLOADS_PER_USER_PER_MINUTE = None
IMPORTS_MAX_UNFINISHED_IMPORTS_PER_USER = None
