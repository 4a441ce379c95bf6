"""What parsers give besides text, as the cells we send.

Both parsers of workbooks end here, so that a file reads the same whichever takes it.
"""

import datetime
import math

# Beyond this a float has no digits left to tell, and a line of digits no bound.
LARGEST_INTEGER = 10**22
# A spreadsheet program keeps fifteen digits of a number: those of a longer one are lost.
FIRST_ROUNDED_INTEGER = 10**15
# Stands for a formula that was saved without its result. No rule lets it through: it holds a NUL.
FORMULA_WITHOUT_VALUE = "\0="
MILLISECOND = datetime.timedelta(milliseconds=1)


def number(value: float) -> int | float | str | list:
    if not math.isfinite(value):
        return "#NUM!"
    if value.is_integer():
        if -FIRST_ROUNDED_INTEGER < value < FIRST_ROUNDED_INTEGER:
            return int(value)
        return ["rounded", int(value) if abs(value) < LARGEST_INTEGER else value, ""]
    return value


def whole_number(value: int) -> int | list:
    if -FIRST_ROUNDED_INTEGER < value < FIRST_ROUNDED_INTEGER:
        return value
    return ["rounded", value, ""]


def moment(value: datetime.datetime) -> str:
    """ISO text; at midnight the date alone, because a workbook cannot tell the two apart."""
    if value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat()


def duration(value: datetime.timedelta) -> str:
    """Hours, minutes and seconds, as [h]:mm:ss shows them."""
    milliseconds = round(value / MILLISECOND)
    sign = "-" if milliseconds < 0 else ""
    seconds, milliseconds = divmod(abs(milliseconds), 1_000)
    minutes, seconds = divmod(seconds, 60)
    fraction = f".{milliseconds:03}" if milliseconds else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{seconds:02}{fraction}"


# What a date or a large number shows is not known here.
CELL = {
    float: number,
    int: whole_number,
    bool: bool,
    datetime.datetime: lambda value: ["date", moment(value), ""],
    datetime.date: lambda value: ["date", value.isoformat(), ""],
    datetime.time: lambda value: ["time", value.isoformat(), ""],
    datetime.timedelta: lambda value: ["duration", duration(value), ""],
    type(None): lambda value: None,
}
