"""What parsers give besides text, as the cells we send.

Both parsers of workbooks end here, so that a file reads the same whichever takes it.
"""

import datetime
import math

# Beyond this a float has no digits left to tell, and a line of digits no bound.
LARGEST_INTEGER = 10**22
# Stands for a formula that was saved without its result. No rule lets it through: it holds a NUL.
FORMULA_WITHOUT_VALUE = "\0="
MILLISECOND = datetime.timedelta(milliseconds=1)


def number(value: float) -> int | float | str:
    if not math.isfinite(value):
        return "#NUM!"
    if value.is_integer() and abs(value) < LARGEST_INTEGER:
        return int(value)
    return value


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


CELL = {
    float: number,
    int: int,
    bool: bool,
    datetime.datetime: moment,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: duration,
    type(None): lambda value: None,
}
