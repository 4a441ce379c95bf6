"""Fields of serializers, and what describes views and computed fields in OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from rest_framework import ISO_8601, serializers

from imports.snapshots import format_time

# drf-spectacular, which generates the description of the API, is an optional part of the app.
HAS_DESCRIPTION = find_spec("drf_spectacular") is not None
if TYPE_CHECKING or HAS_DESCRIPTION:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import extend_schema_field
else:
    from rest_framework.schemas import DefaultSchema as AutoSchema

    Annotated = TypeVar("Annotated")

    def extend_schema_field(field: Any) -> Callable[[Annotated], Annotated]:
        """Return a decorator that does nothing."""
        return lambda annotated: annotated


def has_docs_page() -> bool:
    """Return whether the page of the description works: it needs templates and static files."""
    names = ("drf_spectacular", "drf_spectacular_sidecar")
    return HAS_DESCRIPTION and all(map(apps.is_installed, names))


__all__ = [
    "HAS_DESCRIPTION",
    "AutoSchema",
    "UtcDateTimeField",
    "extend_schema_field",
    "has_docs_page",
]


class UtcDateTimeField(serializers.DateTimeField):
    """A time in UTC as `snapshots.format_time` writes it; a time without an offset is UTC."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"input_formats": [ISO_8601], "default_timezone": UTC, **options})

    def to_representation(self, value: datetime) -> str:
        return format_time(value)
