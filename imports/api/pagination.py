"""Pages that stay as they are while new records come in: each begins behind the last one's end."""

from __future__ import annotations

from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

ADDRESS = "http://localhost:8000/api/imports/?cursor=cD0yMDI2LTExLTAyKzA5JTNBMTU%3D"


class NewestFirst(CursorPagination):
    ordering = ("-created_at", "-pk")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

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
            if cursor is None or cursor.position is None or parse_datetime(cursor.position):
                return cursor
        except (NotFound, ValueError):
            pass
        problem = "Use the addresses in next and previous as they are."
        raise ValidationError({"cursor": [problem]}, "invalid")
