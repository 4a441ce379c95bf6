"""What the settings of the project name."""

from django.http import HttpResponse
from rest_framework.filters import BaseFilterBackend
from rest_framework.negotiation import BaseContentNegotiation


class NoNegotiation(BaseContentNegotiation):
    """The project's own content negotiation, which fails."""

    def select_parser(self, request, parsers):
        raise AssertionError

    def select_renderer(self, request, renderers, format_suffix=None):
        raise AssertionError


class NoRecords(BaseFilterBackend):
    """A filter of the project that leaves nothing."""

    def filter_queryset(self, request, queryset, view):
        return queryset.none()


def handle_exception(error, context):
    """Handle an exception as the project does, in plain text."""
    return HttpResponse("the project's own handler", status=599)
