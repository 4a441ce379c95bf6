"""All URLs of the app: pages, REST API and streams. Include them in the root URLconf of a project.

    path("data/", include("imports.urls"))

The streams need one more line, see `imports.live.routing`.
"""

from django.urls import include, path

from imports.live.routing import require_websocket
from imports.postgres import exempt_from_atomic_requests

app_name = "imports"
urlpatterns = [
    path("", include("imports.pages.urls")),
    path("api/", include("imports.api.urls")),
    path("ws/imports/<uuid:id>/", require_websocket, name="socket"),
]
exempt_from_atomic_requests(urlpatterns)
