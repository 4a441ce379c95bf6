"""Pages that stay as they are while new records come in: each begins behind the last one's end.

Django REST framework's own cursor counts records that are equal in their first column. This one
knows the key as well, so that no two are equal, however many came in one microsecond.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.fields import DateTimeField, Field, UUIDField
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

BEGINNING = Cursor(offset=0, reverse=False, position=None)
ADDRESS = "http://localhost:8000/api/imports/?cursor=cD0yMDI2LTExLTAyKzA5JTNBMTU%3D"


class KeysetPagination(CursorPagination):
    # What is ordered by, the key last, and how each value stands in a cursor.
    position: dict[str, Field] = {"created_at": DateTimeField(), "pk": UUIDField()}
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: Any = None
    ) -> list[Any]:
        self.base_url = request.build_absolute_uri()
        self.cursor, size = self.decode_cursor(request) or BEGINNING, self.get_page_size(request)
        found = list(self.in_order(self.behind(queryset))[: size + 1])
        ends = (len(found) > size, self.cursor.position is not None)
        self.page = found[:size]
        if self.cursor.reverse:
            self.page.reverse()
        self.has_next, self.has_previous = reversed(ends) if self.cursor.reverse else ends
        return self.page

    def in_order(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        sign = "" if self.cursor.reverse else "-"
        return queryset.order_by(*(f"{sign}{column}" for column in self.position))

    def behind(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """What comes after the cursor's position, in its direction."""
        if self.cursor.position is None:
            return queryset
        values, (*equal, key) = self.values(), self.position
        onwards, back = ("gte", "lte") if self.cursor.reverse else ("lte", "gte")
        bound = {f"{next(iter(self.position))}__{onwards}": values[0]}
        seen = {**dict(zip(equal, values, strict=False)), f"{key}__{back}": values[-1]}
        return queryset.filter(**bound).exclude(**seen)

    def values(self) -> list[Any]:
        texts = self.cursor.position.split(" ")
        try:
            fields = zip(self.position.values(), texts, strict=True)
            return [field.run_validation(text) for field, text in fields]
        except (ValidationError, ValueError):
            raise no_cursor() from None

    def get_next_link(self) -> str | None:
        return self.link(self.page[-1:], reverse=False) if self.has_next else None

    def get_previous_link(self) -> str | None:
        return self.link(self.page[:1], reverse=True) if self.has_previous else None

    def link(self, edge: list[Model], *, reverse: bool) -> str:
        """The address of what lies beyond this record; of an empty page, beyond where it began."""
        position = self.cursor.position
        for record in edge:
            fields = self.position.items()
            texts = [field.to_representation(getattr(record, name)) for name, field in fields]
            position = " ".join(map(str, texts))
        return self.encode_cursor(Cursor(0, reverse, position))

    def get_page_size(self, request: Request) -> int:
        """As asked for; what is no such number is said so, rather than answered with another."""
        asked = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not (asked.isdecimal() and 1 <= int(asked) <= self.max_page_size):
            problem = f"Ask for 1 to {self.max_page_size} at a time."
            raise ValidationError({self.page_size_query_param: [problem]}, "invalid")
        return int(asked)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        address = {"type": ["string", "null"], "format": "uri"}
        properties = {
            "next": address | {"example": ADDRESS},
            "previous": address | {"example": None},
            "results": schema,
        }
        return {"type": "object", "required": list(properties), "properties": properties}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {"minimum": 1, "maximum": self.max_page_size}
        return parameters

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
        except NotFound:
            raise no_cursor() from None
        if cursor and cursor.position is None:  # Ours all have one.
            raise no_cursor()
        return cursor


def no_cursor() -> ValidationError:
    problem = "Use the addresses in next and previous as they are."
    return ValidationError({"cursor": [problem]}, "invalid")
