"""What Dramatiq loads in each worker process: `broker`, with the actors of the app.

`manage.py imports_worker` starts Dramatiq with this module. Nothing else imports it.
"""

from __future__ import annotations

import django
import dramatiq
from django.db import connections
from dramatiq.middleware import TimeLimit

django.setup()

from imports import actors, recovery  # noqa: E402, F401  `recovery` has the periodic tasks.
from imports.broker import get_broker  # noqa: E402
from imports.worker_process import MaintenanceMiddleware  # noqa: E402

# A worker keeps its connections between messages. The web process must not: Django opens one in
# each of its threads.
CONN_MAX_AGE_SECONDS = 600


def keep_connections() -> None:
    """Keep database connections open between messages, where the project has no other setting."""
    for alias in connections:
        settings = connections.settings[alias]
        # Django allows no lifetime for the connections of a pool.
        if not settings["CONN_MAX_AGE"] and not settings["OPTIONS"].get("pool"):
            settings |= {"CONN_MAX_AGE": CONN_MAX_AGE_SECONDS, "CONN_HEALTH_CHECKS": True}


def add_middleware(broker: dramatiq.Broker) -> None:
    """Add the middleware that the actors of the app need, unless the project has added it."""
    present = {type(middleware) for middleware in broker.middleware}
    if MaintenanceMiddleware not in present:
        broker.add_middleware(MaintenanceMiddleware())
    if TimeLimit not in present:  # Without a limit for the actors of other apps.
        broker.add_middleware(TimeLimit(time_limit=float("inf")))


keep_connections()
broker = get_broker()
add_middleware(broker)
actors.declare_actors(broker)
