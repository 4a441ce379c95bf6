"""ASGI entry point: the stream consumers, and Django for every other request."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# The consumers import models, so these imports must follow Django's set-up.
from imports.live.request_guard import guard_requests  # noqa: E402
from imports.live.routing import add_streams  # noqa: E402

application = guard_requests(add_streams(django_application))
