"""Keyset pagination: a page begins after the last record of the page before.

New records do not shift the pages. CursorPagination of Django REST framework counts the records
that are equal in the first column of the order. Here the primary key is part of the position, so
no two records are equal, even if many were created in the same microsecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.fields import DateTimeField, Field, UUIDField
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

if TYPE_CHECKING:  # The settings name this module, and rest_framework.views reads them.
    from rest_framework.views import APIView

FIRST_PAGE = Cursor(offset=0, reverse=False, position=None)
EXAMPLE_URL = "http://localhost:8000/api/imports/?cursor=cD0yMDI2LTExLTAyKzA5JTNBMTU%3D"


class KeysetPagination(CursorPagination):
    """Pages in descending order of `position`.

    The names in `position` are the columns of the order, the primary key last; each field formats
    and validates the column's value in a cursor.
    """

    position: ClassVar[dict[str, Field[Any, Any, Any, Any]]] = {
        "created_at": DateTimeField(),
        "pk": UUIDField(),
    }
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(  # type: ignore[override]  # It cannot paginate a list.
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        self.base_url = request.build_absolute_uri()
        self.cursor = self._cursor = self.decode_cursor(request) or FIRST_PAGE
        size = self.get_page_size(request)
        # One record more than the page shows whether there is a next page.
        records = list(self._order(self._filter(queryset))[: size + 1])
        has_more, has_origin = len(records) > size, self._cursor.position is not None
        self._records = records[:size]
        if self._cursor.reverse:
            self._records.reverse()
            self.has_next, self.has_previous = has_origin, has_more
        else:
            self.has_next, self.has_previous = has_more, has_origin
        return self._records

    def _order(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        sign = "" if self._cursor.reverse else "-"
        return queryset.order_by(*(f"{sign}{column}" for column in self.position))

    def _filter(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the records after the position of the cursor, in the direction of the cursor."""
        if self._cursor.position is None:
            return queryset
        values, (*columns, key) = self._parse_position(), self.position
        onwards, backwards = ("gte", "lte") if self._cursor.reverse else ("lte", "gte")
        bound = {f"{next(iter(self.position))}__{onwards}": values[0]}
        passed = {
            **dict(zip(columns, values, strict=False)),
            f"{key}__{backwards}": values[-1],
        }
        return queryset.filter(**bound).exclude(**passed)

    def _parse_position(self) -> list[Any]:
        texts = str(self._cursor.position).split(" ")
        try:
            fields = zip(self.position.values(), texts, strict=True)
            return [field.run_validation(text) for field, text in fields]
        except (ValidationError, ValueError):
            raise _invalid_cursor() from None

    def get_next_link(self) -> str | None:
        return self._make_link(self._records[-1:], reverse=False) if self.has_next else None

    def get_previous_link(self) -> str | None:
        return self._make_link(self._records[:1], reverse=True) if self.has_previous else None

    def _make_link(self, edge: Sequence[Model], *, reverse: bool) -> str:
        """Return the address of the page beyond the edge.

        `edge` holds the first or the last record of this page. It is empty if the page is empty:
        then the new page begins where this one began.
        """
        position: int | str | None = self._cursor.position
        for record in edge:
            fields = self.position.items()
            texts = [field.to_representation(getattr(record, name)) for name, field in fields]
            position = " ".join(map(str, texts))
        return self.encode_cursor(Cursor(0, reverse, position))  # type: ignore[arg-type]  # Text.

    def get_page_size(self, request: Request) -> int:
        """Return the size that the request asks for.

        Raises:
            ValidationError: It is not a number from 1 to `max_page_size`.
        """
        size = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not (size.isdecimal() and 1 <= int(size) <= self.max_page_size):
            problem = f"Ask for 1 to {self.max_page_size} at a time."
            raise ValidationError({self.page_size_query_param: [problem]}, "invalid")
        return int(size)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        url = {"type": ["string", "null"], "format": "uri"}
        properties = {
            "next": url | {"example": EXAMPLE_URL},
            "previous": url | {"example": None},
            "results": schema,
        }
        return {"type": "object", "required": list(properties), "properties": properties}

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {"minimum": 1, "maximum": self.max_page_size}
        return parameters

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the cursor of the request; None for the first page.

        Raises:
            ValidationError: The cursor is not one that a page has given.
        """
        try:
            cursor = super().decode_cursor(request)
        except NotFound:
            raise _invalid_cursor() from None
        if cursor and cursor.position is None:  # Every cursor of a page has a position.
            raise _invalid_cursor()
        return cursor


def _invalid_cursor() -> ValidationError:
    problem = "Use the addresses in next and previous unchanged."
    return ValidationError({"cursor": [problem]}, "invalid")
