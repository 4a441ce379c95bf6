"""Numbers as their cells show them: by the number format, and by the rules of calamine."""

import datetime
import math

from cells import CELL, duration, moment
from openpyxl.styles.numbers import is_date_format, is_timedelta_format
from openpyxl.utils.datetime import from_excel
from padding import padded, padding

DAY_AFTER_THE_LAST = 2_958_466  # 1 January 10000: beyond it a date is a number.
MIDNIGHT = datetime.datetime(1, 1, 1)  # noqa: DTZ001  Spreadsheets know no time zones.
DAY_MILLISECONDS = 86_400_000


class Numbers:
    """The numbers of a workbook, by its number formats: one for each cell style."""

    def __init__(self, formats: dict[int, str], epoch: datetime.datetime) -> None:
        self.epoch = epoch
        self.dates = {n for n, code in formats.items() if is_date_format(code)}
        self.durations = {n for n, code in formats.items() if is_timedelta_format(code)}
        templates = {n: padding(code) for n, code in formats.items()}
        self.paddings = {n: template for n, template in templates.items() if template}

    def shown(self, value: float, style: int) -> object:
        if not math.isfinite(value):
            return CELL[float](value)
        if style in self.durations:
            return _duration(value)
        if style in self.dates and value < DAY_AFTER_THE_LAST:
            return self._moment(value)
        if style in self.paddings and (text := padded(value, self.paddings[style])):
            return text
        return CELL[float](value)

    def _moment(self, value: float) -> str:
        if value >= 1:
            return moment(from_excel(value, self.epoch))
        # The time alone; before 1900 there are no days either.
        time = MIDNIGHT + datetime.timedelta(milliseconds=round(value % 1 * DAY_MILLISECONDS))
        return time.time().isoformat()


def _duration(value: float) -> str:
    try:
        return duration(from_excel(value, timedelta=True))
    except (OverflowError, ValueError):
        return "#VALUE!"
