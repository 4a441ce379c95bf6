"""A posted list of customers to JSON lines, one customer after the other.

Parsed whole, a list of 50,000 would hold up every stream of this process and its memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from math import isfinite
from typing import Any, BinaryIO

import ijson
from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser

from customers.api.legacy.json_guard import GuardedStream
from imports.api.errors import MalformedRequest, PayloadTooLarge

Events = Iterator[tuple[str, Any]]
SCALARS = {"null", "boolean", "number", "integer", "double", "string"}
BEGINS, ENDS = {"start_map", "start_array"}, {"end_map", "end_array"}
LONGEST_SHOWN = 50


class PostedCustomers:
    """What a body holds: customers as a file of JSON lines, or the id of a checked upload."""

    def __init__(self) -> None:
        self.file: TemporaryUploadedFile | None = None
        self.total = 0
        self.upload_id: str | None = None

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


class CustomersParser(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: BinaryIO, media_type: str | None = None, parser_context: Any = None
    ) -> PostedCustomers:
        posted, body = PostedCustomers(), GuardedStream(stream)
        try:
            # With floats of its own it refuses integers of more than 64 bits.
            read_body(ijson.basic_parse(body), posted)
        except (ijson.JSONError, ValueError, StopIteration):
            posted.close()
            raise MalformedRequest(body.where_it_breaks()) from None
        except ArithmeticError:  # An exponent that no Decimal has.
            posted.close()
            raise MalformedRequest("A number is larger or smaller than can be imported.") from None
        except BaseException:
            posted.close()
            raise
        return posted


def read_body(events: Events, posted: PostedCustomers) -> None:
    if next(events)[0] != "start_map":
        raise wrong('Send a JSON object: {"customers": [...]} or {"upload_id": "..."}.')
    for event, name in events:
        if event == "end_map":
            break
        event, value = next(events)
        if name == "customers":
            if event != "start_array" or posted.file:
                raise wrong("customers must be one list.")
            read_customers(events, posted)
        elif name == "upload_id":
            if event not in SCALARS:
                raise wrong("upload_id must be the text that upload/ has answered.")
            posted.upload_id = None if value is None else str(value)
        else:
            skip(event, events)
    for _ in events:  # To the end, where a body that goes on is found out.
        pass


def read_customers(events: Events, posted: PostedCustomers) -> None:
    posted.file = file = TemporaryUploadedFile("customers.jsonl", "application/x-ndjson", 0, None)
    for event, _ in events:
        if event == "end_array":
            break
        if event != "start_map":
            raise wrong(f"customers[{posted.total}] must be an object.")
        file.write(json.dumps(read_customer(events, posted.total)).encode() + b"\n")
        posted.total += 1
        if posted.total > settings.EXCEL_MAX_CUSTOMERS:
            raise PayloadTooLarge(
                f"More than {settings.EXCEL_MAX_CUSTOMERS} customers: send several lists, "
                "or a file to POST /api/imports/."
            )
    file.size = file.tell()
    file.seek(0)


def read_customer(events: Events, index: int) -> dict[str, Any]:
    customer = {}
    for event, name in events:
        if event == "end_map":
            break
        event, value = next(events)
        if event not in SCALARS:
            shown = name[:LONGEST_SHOWN]
            raise wrong(f"customers[{index}].{shown} must be text, a number, true, false or null.")
        customer[name] = as_number(value) if isinstance(value, Decimal) else value
        if len(customer) > settings.IMPORT_READER["columns"]:
            raise wrong(f"customers[{index}] has too many fields.")
    return customer


def as_number(value: Decimal) -> float | str:
    """What JSON lines can hold of it: no number is infinite there."""
    number = float(value)
    return number if isfinite(number) else str(value)


def skip(event: str, events: Events) -> None:
    """Whatever else a client sends is its own affair."""
    depth = event in BEGINS
    while depth:
        event, _ = next(events)
        depth += (event in BEGINS) - (event in ENDS)


def wrong(message: str) -> ValidationError:
    return ValidationError(message, "invalid")
