"""What all views of the API share, whatever the project sets for Django REST framework.

The setting REST_FRAMEWORK belongs to the project. Each view of the API therefore names its own
classes: the project does not change the API, and the app does not change other views of the
project.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from types import SimpleNamespace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils.translation import override
from rest_framework import status
from rest_framework.exceptions import NotAuthenticated
from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from imports.api.errors import LengthRequired, PayloadTooLarge, handle_exception
from imports.api.fields import AutoSchema
from imports.api.pagination import KeysetPagination
from imports.api.serializers import QuerySerializer
from imports.api.throttles import ReadThrottle, WriteThrottle
from imports.authentication import AUTHENTICATION_CLASSES
from imports.history import Actor, Via
from imports.request_ids import add_request_id

# A GET has no precondition here. Django would answer these headers with a 412 without a body.
PRECONDITION_HEADERS = ("HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE")

log = logging.getLogger(__name__)

# The scripts of the pages send this header, whose value is "page".
VIA_HEADER = "X-Imports-Via"

View = Callable[..., HttpResponseBase]


class ApiJSONRenderer(JSONRenderer):
    compact = True
    ensure_ascii = False
    strict = True


class ApiJSONParser(JSONParser):
    strict = True
    renderer_class = ApiJSONRenderer


class ApiContentNegotiation(DefaultContentNegotiation):
    """Choose a renderer by the header `Accept`, and by no query parameter."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)


class JsonErrorNegotiation(ApiContentNegotiation):
    """Choose JSON for every request: only errors are rendered, whatever type `Accept` names."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


def get_authenticated_user(request: Request) -> AbstractBaseUser:
    """Return the user of the request.

    Raises:
        NotAuthenticated: There is none.
    """
    if not isinstance(request.user, AbstractBaseUser):
        raise NotAuthenticated
    return request.user


def get_actor(request: Request) -> Actor:
    """Return who gives a command, and in which way, for the history of the import.

    Raises:
        NotAuthenticated: The request has no user.
    """
    via = Via.PAGE if request.headers.get(VIA_HEADER) == Via.PAGE else Via.REST
    return Actor(get_authenticated_user(request), via)


def check_content_length(request: Request, max_bytes: int, error: PayloadTooLarge) -> None:
    """Check the announced length of the body, before any of it is read.

    Raises:
        LengthRequired: The body comes in chunks.
        PayloadTooLarge: The length is above `max_bytes`; this is `error`.
    """
    if "chunked" in request.headers.get("Transfer-Encoding", ""):
        raise LengthRequired
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise error


def in_english(view: View) -> View:
    """Decorate a view so that its texts are English, whatever `Accept-Language` names.

    The response is rendered in English too, and the language of the thread stays as it was.
    Precondition headers are ignored.
    """

    @wraps(view)
    def call_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        for header in PRECONDITION_HEADERS:
            request.META.pop(header, None)
        with override("en"):
            response = view(request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response = response.render()  # Another response if the ETag has not changed.
        response.headers.setdefault("Content-Language", "en")
        return response

    return call_view


def add_rate_limit_headers(view: View) -> View:
    """Decorate a view so that each response has the headers of its throttles, a 304 too."""

    @wraps(view)
    def call_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        for name, value in getattr(request, "rate_limit_headers", {}).items():
            response.headers[name] = value
        return response

    return call_view


class ApiViewMixin:
    """Base of all views of the API: authentication, limits, JSON, errors and query parameters."""

    authentication_classes: Any = AUTHENTICATION_CLASSES
    permission_classes: Any = (IsAuthenticated,)
    throttle_classes: Any = (ReadThrottle, WriteThrottle)
    renderer_classes: Any = (ApiJSONRenderer,)
    parser_classes: Any = (ApiJSONParser, FormParser, MultiPartParser)
    content_negotiation_class: Any = ApiContentNegotiation
    metadata_class: Any = SimpleMetadata
    versioning_class: Any = None
    schema: Any = AutoSchema()
    # Views that are not generic views ignore these.
    filter_backends: Any = ()
    pagination_class: Any = KeysetPagination
    # Describes the query parameters, and others are an error. None: all are ignored.
    query_serializer_class: type[QuerySerializer] | None = QuerySerializer

    # The validated query parameters of the request.
    query: dict[str, Any]

    @classmethod
    def as_view(cls, *args: Any, **options: Any) -> Any:
        view = super().as_view(*args, **options)  # type: ignore[misc]  # In a view.
        return add_request_id(add_rate_limit_headers(in_english(view)))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if not status.is_server_error(response.status_code):
            headers = self.get_rate_limit_headers(request)
            request._request.rate_limit_headers = headers  # type: ignore[attr-defined]
        return super().finalize_response(  # type: ignore[misc]  # In a view.
            request, response, *args, **kwargs
        )

    def get_rate_limit_headers(self, request: Request) -> dict[str, str]:
        """Return the headers of the view's throttles; none if they cannot be computed."""
        headers: dict[str, str] = {}
        try:
            for throttle_class in self.throttle_classes:
                headers |= throttle_class().get_headers(request, self)
        except Exception as error:  # The cache of the project, or the query for the user.
            log.warning("the rate limit cannot be read: %s", type(error).__name__)
        return headers

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        return handle_exception

    def get_format_suffix(self, **kwargs: Any) -> str | None:
        return None

    def get_query_serializer_class(self) -> type[QuerySerializer] | None:
        return self.query_serializer_class

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # In a view.
        if not hasattr(self, str(request.method).lower()):
            return  # The answer is 405, whatever the parameters are.
        serializer_class = self.get_query_serializer_class()
        self.query = serializer_class.validate_query(request) if serializer_class else {}


class ApiView(ApiViewMixin, APIView):
    """Base of the views of the API that are not viewsets."""
