"""The settings, and an app whose model proves that imports know no customers."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, REST_FRAMEWORK

INSTALLED_APPS = [*INSTALLED_APPS, "tests.parcels"]
# What is tested is not how fast tests ask.
REST_FRAMEWORK = REST_FRAMEWORK | {
    "DEFAULT_THROTTLE_RATES": dict.fromkeys(REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "100000/s")
}
WHITENOISE_AUTOREFRESH = True  # Files are looked for when asked for, not for every client anew.
