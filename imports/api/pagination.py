"""Pages of lists: `page_size` and `cursor` in the query, `next`, `previous`, `results` in the body.

A page begins after the last result of the page before, so new results do not shift the pages.
CursorPagination of Django REST framework counts the records that are equal in the first column of
the order. Here the position of a record is unique, even if many records were created in the same
microsecond.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.fields import Field, IntegerField, UUIDField
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from imports.api.fields import UtcDateTimeField

FIRST_PAGE = Cursor(offset=0, reverse=False, position=None)
EXAMPLE_URL = "/api/imports/?cursor=cD0yMDI2LTExLTAyKzA5JTNBMTU%3D"


class CursorPages(CursorPagination, ABC):
    """Base of the paginations: the addresses of the pages.

    The view has validated `page_size` as a query parameter.
    """

    page_size_query_param = "page_size"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        # Without the host name, as all addresses of the API.
        self.base_url = request.get_full_path()
        self.cursor = self._cursor = self.decode_cursor(request) or FIRST_PAGE
        size = view.query["page_size"]
        # One more than the page shows whether there is a next page.
        results = self.fetch(queryset, size + 1)
        has_more, has_origin = len(results) > size, self._cursor.position is not None
        self._results = results[:size]
        if self._cursor.reverse:
            self._results.reverse()
            self.has_next, self.has_previous = has_origin, has_more
        else:
            self.has_next, self.has_previous = has_more, has_origin
        return self._results

    @abstractmethod
    def fetch(self, source: Any, limit: int) -> list[Any]:
        """Return at most `limit` results after the cursor, in the direction of the cursor."""

    @abstractmethod
    def get_position(self, result: Any) -> str:
        """Return the position of a result, as a cursor holds it."""

    def get_next_link(self) -> str | None:
        return self._make_link(self._results[-1:], reverse=False) if self.has_next else None

    def get_previous_link(self) -> str | None:
        return self._make_link(self._results[:1], reverse=True) if self.has_previous else None

    def _make_link(self, edge: Sequence[Any], *, reverse: bool) -> str:
        """Return the address of the page beyond the edge.

        `edge` holds the first or the last result of this page. It is empty if the page is empty:
        then the new page begins where this one began.
        """
        position: int | str | None = self._cursor.position
        for result in edge:
            position = self.get_position(result)
        return self.encode_cursor(Cursor(0, reverse, position))  # type: ignore[arg-type]  # Text.

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        # Only drf-spectacular calls this method.
        from drf_spectacular.plumbing import append_meta

        url = {"type": "string", "format": "uri-reference"}
        properties = {
            "next": append_meta(url, {"nullable": True, "example": EXAMPLE_URL}),
            "previous": append_meta(url, {"nullable": True, "example": None}),
            "results": schema,
        }
        return {"type": "object", "required": list(properties), "properties": properties}

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Return nothing: the query serializers of the views describe the parameters."""
        return []

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


class KeysetPagination(CursorPages):
    """Pages of a queryset in the order of `position`.

    The names in `position` are the columns of the order, a unique column last; each field formats
    and validates the column's value in a cursor.
    """

    position: ClassVar[dict[str, Field[Any, Any, Any, Any]]] = {
        "created_at": UtcDateTimeField(),
        "pk": UUIDField(),
    }
    is_descending = True

    def fetch(self, source: QuerySet[Any], limit: int) -> list[Any]:
        is_descending = self.is_descending != self._cursor.reverse
        order = [f"{'-' if is_descending else ''}{column}" for column in self.position]
        return list(self._filter(source, is_descending).order_by(*order)[:limit])

    def get_position(self, result: Any) -> str:
        fields = self.position.items()
        texts = [field.to_representation(getattr(result, name)) for name, field in fields]
        return " ".join(map(str, texts))

    def _filter(self, queryset: QuerySet[Any], is_descending: bool) -> QuerySet[Any]:
        """Return the records after the position of the cursor."""
        if self._cursor.position is None:
            return queryset
        values, (*columns, key) = self._parse_position(), self.position
        onwards, backwards = ("lte", "gte") if is_descending else ("gte", "lte")
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


class RowPagination(KeysetPagination):
    """Pages of rows, in the order of the file."""

    position = {"number": IntegerField(min_value=0, max_value=2**31 - 1)}
    is_descending = False


class HistoryPagination(KeysetPagination):
    """Pages of the history of an import, the newest event first."""

    position = {"at": UtcDateTimeField(), "pk": IntegerField(min_value=0, max_value=2**63 - 1)}


class SequencePagination(CursorPages):
    """Pages of a short list that is in memory. Each result is a dictionary.

    The values of `identity` identify a result.
    """

    identity: ClassVar[Sequence[str]] = ("name",)

    def fetch(self, source: Sequence[dict[str, Any]], limit: int) -> list[Any]:
        results = list(reversed(source)) if self._cursor.reverse else list(source)
        if self._cursor.position is None:
            return results[:limit]
        positions = [self.get_position(result) for result in results]
        try:
            start = positions.index(str(self._cursor.position)) + 1
        except ValueError:
            raise _invalid_cursor() from None
        return results[start : start + limit]

    def get_position(self, result: dict[str, Any]) -> str:
        return " ".join(str(result[name]) for name in self.identity)


class ProblemPagination(SequencePagination):
    identity = ("outcome", "field", "code")  # Of `row_results.ProblemGroup`.


def _invalid_cursor() -> ValidationError:
    problem = "Use the addresses in next and previous unchanged."
    return ValidationError({"cursor": [problem]}, "invalid")
