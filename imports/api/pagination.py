"""Pages that stay as they are while new records come in: each begins behind the last one's end."""

from __future__ import annotations

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class NewestFirst(CursorPagination):
    ordering = ("-created_at", "-pk")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
            if cursor is None or cursor.position is None or parse_datetime(cursor.position):
                return cursor
        except (NotFound, ValueError):
            pass
        problem = "Use the addresses in next and previous as they are."
        raise ValidationError({"cursor": [problem]}, "invalid")
