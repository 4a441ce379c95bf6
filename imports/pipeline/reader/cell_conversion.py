"""The values that parsers return, converted to cells of the protocol.

All parsers of workbooks use these functions, so a file reads the same with each of them.
"""

import datetime
import math
from collections.abc import Callable
from typing import Any

# A larger integer is sent as a float: it has no exact digits, and could be very long.
MAX_EXACT_INTEGER = 10**22
# Spreadsheet programs keep fifteen digits of a number. The last digits of a longer one are lost.
MIN_ROUNDED_INTEGER = 10**15
# Stands for a formula that was saved without its result. It contains a NUL, so no field accepts it.
FORMULA_WITHOUT_VALUE = "\0="
# A time of day is added to this date when it is calculated.
TIME_ORIGIN = datetime.datetime(1, 1, 1)  # noqa: DTZ001  Workbooks have no time zones.
ONE_DAY = datetime.timedelta(days=1)
MILLISECOND = datetime.timedelta(milliseconds=1)


def convert_float(value: float) -> int | float | str | list[object]:
    if not math.isfinite(value):
        return "#NUM!"
    if value.is_integer():
        if -MIN_ROUNDED_INTEGER < value < MIN_ROUNDED_INTEGER:
            return int(value)
        return ["rounded", int(value) if abs(value) < MAX_EXACT_INTEGER else value, ""]
    return value


def convert_integer(value: int) -> int | list[object]:
    if -MIN_ROUNDED_INTEGER < value < MIN_ROUNDED_INTEGER:
        return value
    return ["rounded", value, ""]


def format_datetime(value: datetime.datetime) -> str:
    """Return ISO 8601 text. At midnight it is the date alone.

    A workbook does not distinguish a date from midnight of that date.
    """
    if value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat()


def format_timedelta(value: datetime.timedelta) -> str:
    """Return hours, minutes and seconds, as the number format [h]:mm:ss shows them."""
    milliseconds = round(value / MILLISECOND)
    sign = "-" if milliseconds < 0 else ""
    seconds, milliseconds = divmod(abs(milliseconds), 1_000)
    minutes, seconds = divmod(seconds, 60)
    fraction = f".{milliseconds:03}" if milliseconds else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{seconds:02}{fraction}"


# How to convert a value of each type. The displayed text ("" here) needs the number format, which
# these functions do not know.
CONVERTERS: dict[type, Callable[[Any], object]] = {
    float: convert_float,
    int: convert_integer,
    bool: bool,
    datetime.datetime: lambda value: ["date", format_datetime(value), ""],
    datetime.date: lambda value: ["date", value.isoformat(), ""],
    datetime.time: lambda value: ["time", value.isoformat(), ""],
    datetime.timedelta: lambda value: ["duration", format_timedelta(value), ""],
    type(None): lambda value: None,
}
