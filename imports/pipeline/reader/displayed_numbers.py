"""Numbers of workbooks, converted to cells by their number formats.

The rules are those of calamine, so that a workbook reads the same with each parser.
"""

import datetime
import math

from cell_conversion import (
    CONVERTERS,
    MILLISECOND,
    ONE_DAY,
    TIME_ORIGIN,
    format_datetime,
    format_timedelta,
)
from number_formats import (
    DAY_MILLISECONDS,
    GENERAL,
    Moment,
    NumberFormat,
    make_moment,
    pad_number,
    parse_padding,
)

MIN_NUMBER_AFTER_CALENDAR = 2_958_466  # 1 January 10000. From this day on, a date is a number.
WINDOWS_EPOCH = datetime.datetime(1899, 12, 30)  # noqa: DTZ001  Workbooks have no time zones.
MAC_EPOCH = datetime.datetime(1904, 1, 1)  # noqa: DTZ001
FALSE_LEAP_DAY_NUMBER = 60  # Excel counts 29 February 1900, a day that did not exist.
MAX_CACHED_CELLS = 10_000
DATE_KINDS = frozenset({"date", "duration"})


class NumberFormatter:
    """Convert the numbers of one workbook to cells.

    A cell is a plain value, or a list `[kind, value, displayed text]` if the format shows the
    number as something else. See `imports.cell_values.FormattedCell`.

    formats: the format code of each cell style, by the index of the style.
    is_1904: the workbook counts days from 1904, as old versions of Excel for the Mac do.
    """

    def __init__(self, formats: dict[int, str], *, is_1904: bool = False) -> None:
        self.epoch = MAC_EPOCH if is_1904 else WINDOWS_EPOCH
        by_code = {code: NumberFormat(code) for code in set(formats.values()) | {GENERAL}}
        self.formats = {style: by_code[code] for style, code in formats.items()}
        self._general = by_code[GENERAL]
        templates = {style: parse_padding(code) for style, code in formats.items()}
        self.paddings = {style: template for style, template in templates.items() if template}
        self._cache: dict[tuple[float, int], object] = {}

    def find_styles(self, *, of_dates: bool) -> set[int]:
        """Return the styles whose cells differ from their plain number.

        of_dates: return those of dates and durations; otherwise return all others.
        """
        if of_dates:
            return {
                style
                for style, number_format in self.formats.items()
                if number_format.kind in DATE_KINDS
            }
        others = {
            style
            for style, number_format in self.formats.items()
            if number_format.kind not in {None, *DATE_KINDS}
        }
        return others | self.paddings.keys()

    def convert(self, value: float, style: int) -> object:
        """Return the cell for a number in this style."""
        cell = self._cache.get((value, style))
        if cell is None:
            cell = self._convert_uncached(value, style)
            if len(self._cache) >= MAX_CACHED_CELLS:
                self._cache.clear()
            self._cache[value, style] = cell
        return cell

    def convert_date(self, day: datetime.datetime, style: int) -> list[object]:
        """Return the cell for a date that the file stores as text."""
        number_format = self.formats.get(style, self._general)
        value = (day - self.epoch) / ONE_DAY
        if 0 <= value < 1 and self.epoch == WINDOWS_EPOCH:
            return self.convert_time(day.time(), style)
        return [
            "date",
            format_datetime(day),
            number_format.format_moment(value, _make_date_parts(day, value)),
        ]

    def convert_time(self, time: datetime.time, style: int) -> list[object]:
        """Return the cell for a time of day that the file stores as text."""
        cell = self.convert((TIME_ORIGIN.combine(TIME_ORIGIN, time) - TIME_ORIGIN) / ONE_DAY, style)
        display = cell[2] if type(cell) is list and cell[0] == "time" else ""
        return ["time", time.replace(tzinfo=None).isoformat(), display]

    def _convert_uncached(self, value: float, style: int) -> object:
        number_format = self.formats.get(style, self._general)
        if not math.isfinite(value):
            return CONVERTERS[float](value)
        if number_format.kind == "duration":
            return _convert_duration(value, number_format)
        if number_format.kind == "date" and value < MIN_NUMBER_AFTER_CALENDAR:
            return self._convert_moment(value, number_format)
        if style in self.paddings and (text := pad_number(value, self.paddings[style])):
            return text
        plain = CONVERTERS[float](value)
        if number_format.kind in {"percentage", "exponent", "fraction"}:
            number = plain[1] if type(plain) is list else plain
            return [number_format.kind, number, number_format.format_number(value)]
        if type(plain) is list:
            return ["rounded", plain[1], number_format.format_number(value)]
        return plain

    def _convert_moment(self, value: float, number_format: NumberFormat) -> object:
        if value < 1:  # A time without a date.
            milliseconds = round(value % 1 * DAY_MILLISECONDS)
            time = TIME_ORIGIN + datetime.timedelta(milliseconds=milliseconds)
            first = self.epoch.date() if self.epoch == MAC_EPOCH else None
            parts = make_moment(first, milliseconds % DAY_MILLISECONDS, milliseconds)
            return ["time", time.time().isoformat(), number_format.format_moment(value, parts)]
        try:
            day = self._to_datetime(value)
        except OverflowError:  # Possible in a workbook that counts from 1904.
            return CONVERTERS[float](value)
        return [
            "date",
            format_datetime(day),
            number_format.format_moment(value, _make_date_parts(day, value)),
        ]

    def _to_datetime(self, value: float) -> datetime.datetime:
        days, fraction = divmod(value, 1)
        if value < FALSE_LEAP_DAY_NUMBER and self.epoch == WINDOWS_EPOCH:
            days += 1
        milliseconds = round(fraction * DAY_MILLISECONDS)
        return self.epoch + datetime.timedelta(days=days, milliseconds=milliseconds)


def _make_date_parts(day: datetime.datetime, value: float) -> Moment:
    time = day - day.replace(hour=0, minute=0, second=0, microsecond=0)
    milliseconds = round(time / MILLISECOND)
    return make_moment(day.date(), milliseconds, round(value * DAY_MILLISECONDS))


def _convert_duration(value: float, number_format: NumberFormat) -> object:
    try:
        text = format_timedelta(datetime.timedelta(days=value))
    except OverflowError:
        return "#VALUE!"
    milliseconds = round(value * DAY_MILLISECONDS)
    parts = make_moment(None, milliseconds % DAY_MILLISECONDS, milliseconds)
    return ["duration", text, number_format.format_moment(value, parts)]


def parse_number(raw: str) -> float | None:
    """Return the number that this text of a workbook stands for, or None if it is no number.

    Text that only Python accepts as a number, such as "1_000", is no number.
    """
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if raw.isascii() and "_" not in raw and raw == raw.strip() else None
