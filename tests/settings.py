"""The settings of the site, and an app with a second importer that is independent of customers."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, REST_FRAMEWORK

INSTALLED_APPS = [*INSTALLED_APPS, "tests.parcels"]
# Tests must not be throttled.
REST_FRAMEWORK = REST_FRAMEWORK | {
    "DEFAULT_THROTTLE_RATES": dict.fromkeys(REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "100000/s")
}
WHITENOISE_AUTOREFRESH = True  # Find files at a request instead of scanning all for each client.
