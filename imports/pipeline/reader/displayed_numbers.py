"""Numbers as their cells show them: by the number format, and by the rules of calamine."""

import datetime
import math

from cell_conversion import CELL, duration, moment
from number_formats import GENERAL, NumberFormat, moment_of
from padding import padded, padding

DAY_AFTER_THE_LAST = 2_958_466  # 1 January 10000: beyond it a date is a number.
WINDOWS_EPOCH = datetime.datetime(1899, 12, 30)  # noqa: DTZ001  Spreadsheets know no time zones.
MAC_EPOCH = datetime.datetime(1904, 1, 1)  # noqa: DTZ001
FALSE_LEAP_DAY = 60  # 29 February 1900, which Excel counts and no calendar has.
MIDNIGHT = datetime.datetime(1, 1, 1)  # noqa: DTZ001
DAY = datetime.timedelta(days=1)
DAY_MILLISECONDS = 86_400_000
MAX_KEPT_CELLS = 10_000
DATES = frozenset({"date", "duration"})


class Numbers:
    """The numbers of a workbook, by its number formats: one for each cell style.

    A cell is a plain value, or a list `[kind, value, shown]` where its format shows the number as
    something else; see `imports.cell_values.FormattedCell`.
    """

    def __init__(self, formats: dict[int, str], *, is_1904: bool = False) -> None:
        self.epoch = MAC_EPOCH if is_1904 else WINDOWS_EPOCH
        by_code = {code: NumberFormat(code) for code in set(formats.values()) | {GENERAL}}
        self.formats = {style: by_code[code] for style, code in formats.items()}
        self._general = by_code[GENERAL]
        templates = {style: padding(code) for style, code in formats.items()}
        self.paddings = {style: template for style, template in templates.items() if template}
        self._cells: dict[tuple[float, int], object] = {}

    def styles(self, *, of_dates: bool) -> set[int]:
        """The styles whose cells say more than their number; those of dates, or the others."""
        if of_dates:
            return {style for style, own in self.formats.items() if own.kind in DATES}
        others = {style for style, own in self.formats.items() if own.kind not in {None, *DATES}}
        return others | self.paddings.keys()

    def shown(self, value: float, style: int) -> object:
        """The cell of this number in this style."""
        cell = self._cells.get((value, style))
        if cell is None:
            cell = self._cell(value, style)
            if len(self._cells) >= MAX_KEPT_CELLS:
                self._cells.clear()
            self._cells[value, style] = cell
        return cell

    def shown_date(self, day: datetime.datetime, style: int) -> list:
        """The cell of a date that the file writes as text."""
        own = self.formats.get(style, self._general)
        value = (day - self.epoch) / DAY
        if 0 <= value < 1 and self.epoch == WINDOWS_EPOCH:
            return self.shown_time(day.time(), style)
        return ["date", moment(day), own.show_moment(value, _parts(day, value))]

    def shown_time(self, time: datetime.time, style: int) -> list:
        """The cell of a time of the day that the file writes as text."""
        cell = self.shown((MIDNIGHT.combine(MIDNIGHT, time) - MIDNIGHT) / DAY, style)
        shown = cell[2] if type(cell) is list and cell[0] == "time" else ""
        return ["time", time.replace(tzinfo=None).isoformat(), shown]

    def _cell(self, value: float, style: int) -> object:
        own = self.formats.get(style, self._general)
        if not math.isfinite(value):
            return CELL[float](value)
        if own.kind == "duration":
            return _duration(value, own)
        if own.kind == "date" and value < DAY_AFTER_THE_LAST:
            return self._moment(value, own)
        if style in self.paddings and (text := padded(value, self.paddings[style])):
            return text
        plain = CELL[float](value)
        if own.kind in {"percentage", "exponent", "fraction"}:
            number = plain[1] if type(plain) is list else plain
            return [own.kind, number, own.show_number(value)]
        if type(plain) is list:
            return ["rounded", plain[1], own.show_number(value)]
        return plain

    def _moment(self, value: float, own: NumberFormat) -> object:
        if value < 1:  # The time alone; before 1900 there are no days either.
            milliseconds = round(value % 1 * DAY_MILLISECONDS)
            time = MIDNIGHT + datetime.timedelta(milliseconds=milliseconds)
            first = self.epoch.date() if self.epoch == MAC_EPOCH else None
            parts = moment_of(first, milliseconds % DAY_MILLISECONDS, milliseconds)
            return ["time", time.time().isoformat(), own.show_moment(value, parts)]
        try:
            day = self._day(value)
        except OverflowError:  # Of a workbook that counts from 1904.
            return CELL[float](value)
        return ["date", moment(day), own.show_moment(value, _parts(day, value))]

    def _day(self, value: float) -> datetime.datetime:
        days, fraction = divmod(value, 1)
        if value < FALSE_LEAP_DAY and self.epoch == WINDOWS_EPOCH:
            days += 1
        milliseconds = round(fraction * DAY_MILLISECONDS)
        return self.epoch + datetime.timedelta(days=days, milliseconds=milliseconds)


def _parts(day: datetime.datetime, value: float):
    time = day - day.replace(hour=0, minute=0, second=0, microsecond=0)
    milliseconds = round(time / datetime.timedelta(milliseconds=1))
    return moment_of(day.date(), milliseconds, round(value * DAY_MILLISECONDS))


def _duration(value: float, own: NumberFormat) -> object:
    try:
        text = duration(datetime.timedelta(days=value))
    except OverflowError:
        return "#VALUE!"
    milliseconds = round(value * DAY_MILLISECONDS)
    parts = moment_of(None, milliseconds % DAY_MILLISECONDS, milliseconds)
    return ["duration", text, own.show_moment(value, parts)]


def as_number(raw: str) -> float | None:
    """The number that a workbook writes so; None if it is none, or one to Python alone."""
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if raw.isascii() and "_" not in raw and raw == raw.strip() else None
