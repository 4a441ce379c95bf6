"""The settings, and an app whose model proves that imports know no customers."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.parcels"]
