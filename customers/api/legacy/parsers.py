"""Parse a posted list of customers into JSON lines, one customer at a time.

A list of 50,000 customers that is parsed at once would block every stream of the process, and
take much memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import isfinite
from typing import IO, Any

import ijson
from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser

from customers.api.legacy.json_guard import GuardedStream
from imports.api.errors import MalformedRequest, PayloadTooLarge
from imports.conf import app_settings

Event = tuple[str, Any]  # An event of ijson and its value.
Scalar = str | int | float | bool | None
SCALAR_EVENTS = {"null", "boolean", "number", "integer", "double", "string"}
START_EVENTS = {"start_map", "start_array"}
END_EVENTS = {"end_map", "end_array"}
MAX_SHOWN_NAME_CHARS = 50


class PostedCustomers:
    """A parsed body: a list of customers, or the id of a checked upload.

    `file` holds the customers as JSON lines, `total` of them. It is None if the body has no list.
    """

    def __init__(self) -> None:
        self.file: TemporaryUploadedFile | None = None
        self.total = 0
        self.upload_id: str | None = None

    def close(self) -> None:
        """Delete the file."""
        if self.file is not None:
            self.file.close()


class CustomersParser(BaseParser):
    """Parse {"customers": [...]} or {"upload_id": "..."} into PostedCustomers."""

    media_type = "application/json"

    def parse(  # type: ignore[override]  # The views know that this is not a mapping.
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> PostedCustomers:
        """Return the parsed body, which the caller closes.

        Raises:
            MalformedRequest: The body is not JSON, or has a number or a string that is too long.
            PayloadTooLarge: The list has more customers than EXCEL_MAX_CUSTOMERS.
            ValidationError: The JSON is not as the contract says.
        """
        posted, body = PostedCustomers(), GuardedStream(stream)
        try:
            # Without use_float: with it, ijson rejects integers of more than 64 bits.
            _read_body(ijson.basic_parse(body), posted)
        except (ijson.JSONError, ValueError, StopIteration):
            posted.close()
            raise MalformedRequest(body.describe_error()) from None
        except ArithmeticError:  # An exponent that Decimal cannot hold.
            posted.close()
            raise MalformedRequest("A number is larger or smaller than can be imported.") from None
        except BaseException:
            posted.close()
            raise
        return posted


def _read_body(events: Iterator[Event], posted: PostedCustomers) -> None:
    if next(events)[0] != "start_map":
        raise _invalid('Send a JSON object: {"customers": [...]} or {"upload_id": "..."}.')
    for event, name in events:
        if event == "end_map":
            break
        event, value = next(events)
        if name == "customers":
            if event != "start_array" or posted.file:
                raise _invalid("customers must be one list.")
            _read_customers(events, posted)
        elif name == "upload_id":
            if event not in SCALAR_EVENTS:
                raise _invalid("upload_id must be the text from an answer of upload/.")
            posted.upload_id = None if value is None else str(value)
        else:
            _skip_value(event, events)
    for _ in events:  # The parser finds data after the object only if it reads on.
        pass


def _read_customers(events: Iterator[Event], posted: PostedCustomers) -> None:
    posted.file = file = TemporaryUploadedFile("customers.jsonl", "application/x-ndjson", 0, None)
    for event, _ in events:
        if event == "end_array":
            break
        if event != "start_map":
            raise _invalid(f"customers[{posted.total}] must be an object.")
        file.write(json.dumps(_read_customer(events, posted.total)).encode() + b"\n")
        posted.total += 1
        if posted.total > settings.EXCEL_MAX_CUSTOMERS:
            raise PayloadTooLarge(
                f"More than {settings.EXCEL_MAX_CUSTOMERS} customers: send several lists, "
                "or a file to POST /api/imports/."
            )
    file.size = file.tell()
    file.seek(0)


def _read_customer(events: Iterator[Event], index: int) -> dict[str, Scalar]:
    customer: dict[str, Scalar] = {}
    for event, name in events:
        if event == "end_map":
            break
        event, value = next(events)
        if event not in SCALAR_EVENTS:
            shown_name = name[:MAX_SHOWN_NAME_CHARS]
            raise _invalid(
                f"customers[{index}].{shown_name} must be text, a number, true, false or null."
            )
        customer[name] = _to_json_number(value) if isinstance(value, Decimal) else value
        if len(customer) > app_settings.READER_LIMITS["columns"]:
            raise _invalid(f"customers[{index}] has too many fields.")
    return customer


def _to_json_number(value: Decimal) -> float | str:
    """Return the number; as text if a float cannot hold it, because JSON has no infinity."""
    number = float(value)
    return number if isfinite(number) else str(value)


def _skip_value(event: str, events: Iterator[Event]) -> None:
    """Read past the value that begins with this event."""
    depth = int(event in START_EVENTS)
    while depth:
        event, _ = next(events)
        depth += (event in START_EVENTS) - (event in END_EVENTS)


def _invalid(message: str) -> ValidationError:
    return ValidationError(message, "invalid")
