"""Fields of serializers, and what describes views and computed fields in OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from rest_framework import ISO_8601, serializers

from imports.snapshots import format_time

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import extend_schema_field
else:
    # drf-spectacular, which generates the description, is an optional part of the app.
    try:
        from drf_spectacular.openapi import AutoSchema
        from drf_spectacular.utils import extend_schema_field
    except ImportError:
        from rest_framework.schemas import DefaultSchema as AutoSchema

        Annotated = TypeVar("Annotated")

        def extend_schema_field(field: Any) -> Callable[[Annotated], Annotated]:
            """Return a decorator that does nothing: no description is generated."""
            return lambda annotated: annotated


__all__ = ["AutoSchema", "UtcDateTimeField", "extend_schema_field"]


class UtcDateTimeField(serializers.DateTimeField):
    """A time in UTC as `snapshots.format_time` writes it; a time without an offset is UTC."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"input_formats": [ISO_8601], "default_timezone": UTC, **options})

    def to_representation(self, value: datetime) -> str:
        return format_time(value)
