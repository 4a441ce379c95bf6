"""Daphne's way in: streams go to consumers, everything else to Django."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# Consumers use models, so they come after Django is set up.
from config.request_guard import refuse_unreadable  # noqa: E402
from imports.live.routing import make_stream_router  # noqa: E402

application = refuse_unreadable(make_stream_router(django_application))
