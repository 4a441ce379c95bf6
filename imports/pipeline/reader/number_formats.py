"""Number formats of workbooks: the kind of value that a format shows, and the displayed text.

The displayed text is in American English.

Source: ECMA-376 part 1, 18.8.30 and 18.8.31.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple
from xml.etree.ElementTree import Element

MAX_FORMAT_CODE_CHARS = 255  # The limit of Excel.
MAX_DISPLAY_CHARS = 100
MAX_DENOMINATOR_DIGITS = 4
DAY_MILLISECONDS = 86_400_000
GENERAL = "General"
# Source: [MS-LCID]: the low ten bits of a language identifier are the primary language.
ENGLISH_LANGUAGE_ID = 9
PRIMARY_LANGUAGE_MASK = 0x3FF
SYSTEM_LOCALES = frozenset({"F400", "F800"})  # System time and system long date.
# The formats that a file names by number only, as Excel in American English shows them.
BUILTIN_FORMATS = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00",
    5: '"$"#,##0_);("$"#,##0)', 6: '"$"#,##0_);[Red]("$"#,##0)',
    7: '"$"#,##0.00_);("$"#,##0.00)', 8: '"$"#,##0.00_);[Red]("$"#,##0.00)',
    9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "m/d/yyyy", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "m/d/yyyy h:mm",
    37: "#,##0_);(#,##0)", 38: "#,##0_);[Red](#,##0)",
    39: "#,##0.00_);(#,##0.00)", 40: "#,##0.00_);[Red](#,##0.00)",
    41: '_(* #,##0_);_(* (#,##0);_(* "-"_);_(@_)',
    42: '_("$"* #,##0_);_("$"* (#,##0);_("$"* "-"_);_(@_)',
    43: '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)',
    44: '_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)',
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
}  # fmt: skip

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

FORMAT_TOKEN = re.compile(
    r"""
    "(?P<quoted>[^"]*)(?:"|$) | \\(?P<escaped>.) | _(?P<space>.) | \*(?P<fill>.)
    | \[(?P<elapsed>h+|m+|s+)\] | \[(?P<condition>(?:<=|>=|<>|<|>|=)[^\]]*)\]
    | \[\$(?P<locale>[^\]]*)\] | (?P<ignored>\[[^\]]*\]) | (?P<half>AM/PM|A/P)
    | (?P<exponent>E[+-]) | (?P<general>General)
    | (?P<date>d+|m+|y+|h+|s+) | (?P<era>[egb]+) | (?P<digit>[0#?]) | (?P<end>;) | (?P<other>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# Text, colours and conditions: their letters do not make the format a date format.
NON_DATE_TEXT = re.compile(r'"[^"]*"|\[(?!hh?\]|mm?\]|ss?\])[^\]]*\]|[\\_].', re.DOTALL)
DATE_LETTER = re.compile("[dmhys]", re.IGNORECASE)
ELAPSED_TIME = re.compile(r"\[(?:hh?|mm?|ss?)\]", re.IGNORECASE)
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": float.__le__, ">=": float.__ge__, "<>": float.__ne__,
    "<": float.__lt__, ">": float.__gt__, "=": float.__eq__,
}  # fmt: skip
DECIMAL_CONTEXT = Context(prec=400)


class Token(NamedTuple):
    kind: str
    text: str


ZERO_TOKENS = frozenset({Token("digit", "0")})


class Moment(NamedTuple):
    """What a date format can show: a calendar day, the time of day, and the elapsed time.

    weekday: 0 is Monday.
    milliseconds: since midnight.
    """

    year: int
    month: int
    day: int
    weekday: int
    milliseconds: int
    elapsed_milliseconds: int


def is_date(code: str) -> bool:
    """Return whether a number of this format is a date or a time of day."""
    return bool(DATE_LETTER.search(NON_DATE_TEXT.sub("", code.partition(";")[0])))


def is_duration(code: str) -> bool:
    """Return whether a number of this format is a duration, as "[h]:mm" shows it."""
    return bool(ELAPSED_TIME.search(code.partition(";")[0]))


def read_format_codes(root: Iterable[Element]) -> dict[int, str]:
    """Return the format code of each cell style, by the index of the style.

    root: the elements of the styles part of a workbook.
    """
    codes = {0: GENERAL, **BUILTIN_FORMATS}
    uses: list[int] = []
    for part in root:
        if _local_name(part) == "numFmts":
            codes |= {int(item.get("numFmtId", "")): item.get("formatCode") or "" for item in part}
        elif _local_name(part) == "cellXfs":
            uses += [int(use.get("numFmtId") or 0) for use in part]
    return {style: codes.get(number, GENERAL) for style, number in enumerate(uses)}


def _local_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


class NumberFormat:
    """One number format.

    A format that is longer than Excel allows is treated as one without sections.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self._sections = _parse_sections(code) if len(code) <= MAX_FORMAT_CODE_CHARS else []

    @cached_property
    def kind(self) -> str | None:
        """The kind of value that the format shows.

        It is "date", "duration", "percentage", "exponent" or "fraction", and None for all others.
        """
        if is_duration(self.code):
            return "duration"
        if is_date(self.code):
            return "date"
        first = self._sections[0].tokens if self._sections else []
        kinds = [token.kind for token in first]
        if "exponent" in kinds:
            return "exponent"
        if Token("other", "%") in first:
            return "percentage"
        return "fraction" if _has_fraction(first) else None

    def format_number(self, value: float) -> str:
        """Return the displayed text of a number, or "" if it is not known."""
        section = self._choose_section(value)
        if section is None or section.has_dates:
            return ""
        number = abs(value) if section.is_for_negatives else value
        try:
            return section.format_number(number).strip()[:MAX_DISPLAY_CHARS]
        except (ArithmeticError, ValueError, IndexError):
            return ""

    def format_moment(self, value: float, moment: Moment) -> str:
        """Return the displayed text of a date or time, or "" if it is not known.

        value: the number in the cell, which selects the section of the format.
        """
        section = self._choose_section(value)
        if section is None or not section.has_dates or not section.is_english or value < 0:
            return ""
        return section.format_moment(moment).strip()[:MAX_DISPLAY_CHARS]

    def _choose_section(self, value: float) -> FormatSection | None:
        numbers = self._sections[:3]
        for index, section in enumerate(numbers):
            if section.accepts(value, index, len(numbers)):
                return section
        return None


class FormatSection:
    """One section of a format code. Semicolons separate the sections.

    By default the first section is for positive numbers, the second for negative ones, the third
    for zero.
    """

    def __init__(self, tokens: list[Token], index: int) -> None:
        self.tokens = [token for token in tokens if token.kind not in {"condition", "ignored"}]
        self.condition = next((t.text for t in tokens if t.kind == "condition"), None)
        self.is_for_negatives = index == 1 and self.condition is None
        self.has_dates = any(token.kind in {"date", "elapsed"} for token in self.tokens)
        self.is_english = _is_english(self.tokens)

    def accepts(self, value: float, index: int, count: int) -> bool:
        if self.condition is not None:
            sign = self.condition[: 2 if self.condition[1:2] in {"=", ">"} else 1]
            try:
                return COMPARISONS[sign](float(value), float(self.condition[len(sign) :]))
            except ValueError:
                return False
        if index == count - 1:
            return True
        if index == 0:
            return value >= 0 if count == 2 else value > 0
        return value < 0

    def format_number(self, value: float) -> str:
        if any(token.kind == "era" for token in self.tokens):
            return ""
        if not self._has_digits:
            has_general = any(t.kind == "general" or t == Token("other", "@") for t in self.tokens)
            return self._join_literals(format_general(value) if has_general else "")
        if _has_fraction(self.tokens):
            return _show_fraction(value, self.tokens)
        sign = "-" if value < 0 else ""
        text = self._digit_layout.show(_to_decimal(abs(value)))
        is_zero = not any(character in "123456789" for character in text)
        return text if is_zero else sign + text

    def format_moment(self, moment: Moment) -> str:
        unit = self._unit_milliseconds
        if unit > 1:
            moment = moment._replace(
                milliseconds=min(
                    _round_to_unit(moment.milliseconds, unit), DAY_MILLISECONDS - unit
                ),
                elapsed_milliseconds=_round_to_unit(moment.elapsed_milliseconds, unit),
            )
        return "".join([show(moment) for show in self._date_parts])

    @cached_property
    def _has_digits(self) -> bool:
        return any(token.kind == "digit" for token in self.tokens)

    @cached_property
    def _unit_milliseconds(self) -> int:
        """The smallest displayed unit of time, 1 to 1,000 milliseconds."""
        digits = [
            _count_zeros(self.tokens, position + 1)
            for position, token in enumerate(self.tokens)
            if token == Token("other", ".")
        ]
        unit: int = 10 ** max(0, 3 - max(digits, default=0))
        return unit

    @cached_property
    def _digit_layout(self) -> _DigitLayout:
        return _DigitLayout(self.tokens)

    @cached_property
    def _date_parts(self) -> list[Callable[[Moment], str]]:
        return _make_date_parts(self.tokens)

    def _join_literals(self, number: str) -> str:
        """Return the text of the section, with the number in the place of "General"."""
        parts = [
            number if t.kind == "general" or t == Token("other", "@") else _get_literal(t)
            for t in self.tokens
        ]
        return "".join(parts)


def _parse_sections(code: str) -> list[FormatSection]:
    sections: list[list[Token]] = [[]]
    for match in FORMAT_TOKEN.finditer(code):
        kind = match.lastgroup or "other"
        if kind == "end":
            sections.append([])
        else:
            sections[-1].append(Token(kind, match[kind]))
    return [FormatSection(tokens, index) for index, tokens in enumerate(sections)]


def _get_literal(token: Token) -> str:
    """Return the displayed text of a token that does not depend on the value."""
    if token.kind in {"quoted", "escaped", "other"}:
        return token.text
    if token.kind == "locale":
        return token.text.partition("-")[0]
    return " " if token.kind == "space" else ""


def _is_english(tokens: list[Token]) -> bool:
    """Return whether names of months and digits are English, as they are without a locale."""
    if any(token.kind == "era" for token in tokens):
        return False
    has_names = any(
        (t.kind == "date" and t.text[0] in "dmDM" and len(t.text) > 2) or t.kind == "half"
        for t in tokens
    )
    return all(_is_english_locale(t.text, has_names) for t in tokens if t.kind == "locale")


def _is_english_locale(text: str, has_names: bool) -> bool:
    _, _, locale = text.partition("-")
    if not locale or locale.upper() in SYSTEM_LOCALES or locale.startswith(("en", "x-")):
        return True
    try:
        identifier = int(locale.partition(",")[0], 16)
    except ValueError:
        return not has_names
    if identifier >> 16:  # Digits of another script, or another calendar.
        return False
    return not has_names or identifier & PRIMARY_LANGUAGE_MASK == ENGLISH_LANGUAGE_ID


# --- Dates and times ---------------------------------------------------------


def make_moment(day: datetime.date | None, milliseconds: int, elapsed_milliseconds: int) -> Moment:
    """Return the displayed parts of a day and a time.

    day: None for day 0 of Excel, which it shows as 0 January 1900.
    """
    if day is None:
        return Moment(1900, 1, 0, 5, milliseconds, elapsed_milliseconds)
    weekday = day.weekday()
    return Moment(day.year, day.month, day.day, weekday, milliseconds, elapsed_milliseconds)


def _round_to_unit(milliseconds: int, unit: int) -> int:
    return (milliseconds + unit // 2) // unit * unit


def _make_date_parts(tokens: list[Token]) -> list[Callable[[Moment], str]]:
    """Return a function for each part of the displayed date."""
    is_half = any(token.kind == "half" for token in tokens)
    parts: list[Callable[[Moment], str]] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        letter = token.text[:1].lower()
        width = len(token.text)
        if token.kind == "date" and letter == "m" and _is_minute(tokens, position):
            parts.append(_show_clock("minute", width))
        elif token.kind == "date" and letter in "dmy":
            parts.append(_show_calendar(letter, width))
        elif token.kind == "date":
            unit = "second" if letter == "s" else "half hour" if is_half else "hour"
            parts.append(_show_clock(unit, width))
        elif token.kind == "elapsed":
            parts.append(_show_elapsed(letter, width))
        elif token.kind == "half":
            parts.append(_show_half_day(token.text))
        elif token == Token("other", ".") and _count_zeros(tokens, position + 1):
            digits = _count_zeros(tokens, position + 1)
            parts.append(_show_second_fraction(digits))
            position += digits
        else:
            parts.append(_show_text(token.text if token.kind == "digit" else _get_literal(token)))
        position += 1
    return parts


def _is_minute(tokens: list[Token], position: int) -> bool:
    """Return whether the token "m" or "mm" stands for minutes: after hours or before seconds."""
    if len(tokens[position].text) > 2:
        return False
    timed = ("date", "elapsed")
    before = [t.text[:1].lower() for t in tokens[:position] if t.kind in timed]
    after = [t.text[:1].lower() for t in tokens[position + 1 :] if t.kind in timed]
    return before[-1:] == ["h"] or after[:1] == ["s"]


def _count_zeros(tokens: list[Token], position: int) -> int:
    count = 0
    while position + count < len(tokens) and tokens[position + count] == Token("digit", "0"):
        count += 1
    return count


def _show_text(text: str) -> Callable[[Moment], str]:
    return lambda _: text


def _show_calendar(letter: str, width: int) -> Callable[[Moment], str]:
    if letter == "y":
        return (lambda m: f"{m.year % 100:02}") if width < 3 else (lambda m: f"{m.year:04}")
    if width > 2:
        return _show_weekday(width) if letter == "d" else _show_month(width)
    if letter == "d":
        return lambda m: f"{m.day:0{width}}"
    return lambda m: f"{m.month:0{width}}"


def _show_weekday(width: int) -> Callable[[Moment], str]:
    return lambda m: WEEKDAYS[m.weekday][: 3 if width == 3 else None]


def _show_month(width: int) -> Callable[[Moment], str]:
    return lambda m: MONTHS[m.month - 1][: {3: 3, 5: 1}.get(width)]


def _show_clock(unit: str, width: int) -> Callable[[Moment], str]:
    places = min(width, 2)
    if unit == "hour":
        return lambda m: f"{m.milliseconds // 3_600_000:0{places}}"
    if unit == "half hour":
        return lambda m: f"{(m.milliseconds // 3_600_000 + 11) % 12 + 1:0{places}}"
    if unit == "minute":
        return lambda m: f"{m.milliseconds // 60_000 % 60:0{places}}"
    return lambda m: f"{m.milliseconds // 1_000 % 60:0{places}}"


def _show_elapsed(letter: str, width: int) -> Callable[[Moment], str]:
    size = {"h": 3_600_000, "m": 60_000, "s": 1_000}[letter]
    return lambda m: f"{m.elapsed_milliseconds // size:0{width}}"


def _show_half_day(text: str) -> Callable[[Moment], str]:
    size = 1 if len(text) == 3 else 2
    return lambda m: ("AM" if m.milliseconds < 43_200_000 else "PM")[:size]


def _show_second_fraction(digits: int) -> Callable[[Moment], str]:
    return lambda m: "." + f"{m.milliseconds % 1_000:03}{'0' * digits}"[:digits]


# --- Numbers -------------------------------------------------------------------------


def _to_decimal(value: float) -> Decimal:
    """Return the number with the fifteen digits that a spreadsheet program shows."""
    return Decimal(f"{value:.15g}")


def format_general(value: float) -> str:
    """Return the displayed text in the format "General": at most eleven characters."""
    if value == 0 or 1e-4 <= abs(value) < 1e11:
        return f"{value:.10g}"
    mantissa, _, exponent = f"{value:.5E}".partition("E")
    return f"{mantissa.rstrip('0').rstrip('.')}E{exponent[0]}{exponent[1:].zfill(2)}"


class _DigitLayout:
    """The places of digits and the text between them, as in `0.00%`, `#,##0` and `##0.0E+0`."""

    def __init__(self, tokens: list[Token]) -> None:
        end = next((n for n, t in enumerate(tokens) if t.kind == "exponent"), len(tokens))
        self.mantissa, rest = tokens[:end], tokens[end:]
        # Most formats have only text after their digits. It is kept apart because that is faster.
        self.suffix = ""
        while not rest and self.mantissa and self.mantissa[-1].kind != "digit":
            last = self.mantissa[-1]
            if last in {Token("other", "."), Token("other", ",")}:
                break
            self.suffix = _get_literal(self.mantissa.pop()) + self.suffix
        point = Token("other", ".")
        point_at = self.mantissa.index(point) if point in self.mantissa else len(self.mantissa)
        self.whole, self.decimals = self.mantissa[:point_at], self.mantissa[point_at + 1 :]
        self.has_point = point_at < len(self.mantissa)
        self.exponent_sign = rest[0].text[1] if rest else ""
        self.exponent = rest[1:]
        self.percents = sum(token == Token("other", "%") for token in tokens)
        self.has_thousands, thousands = _count_commas(self.whole)
        self.scale = Decimal(100) ** self.percents / Decimal(1000) ** thousands
        self.places = sum(token.kind == "digit" for token in self.decimals)
        self.width = sum(token.kind == "digit" for token in self.whole)

    def show(self, value: Decimal) -> str:
        value = DECIMAL_CONTEXT.multiply(value, self.scale)
        if not self.exponent_sign:
            return self._show_fixed(self._round_to_places(value)) + self.suffix
        step = max(self.width, 1)
        power = (value.adjusted() // step) * step if value else 0
        mantissa = self._round_to_places(value.scaleb(-power, DECIMAL_CONTEXT))
        if mantissa.adjusted() >= step:  # Rounding has added a digit, as in 9.99 to 10.0.
            power += step
            mantissa = self._round_to_places(value.scaleb(-power, DECIMAL_CONTEXT))
        sign = "-" if power < 0 else "+" if self.exponent_sign == "+" else ""
        return f"{self._show_fixed(mantissa)}E{sign}{_fill_places(self.exponent, str(abs(power)))}"

    def _round_to_places(self, value: Decimal) -> Decimal:
        return value.quantize(Decimal(1).scaleb(-self.places), ROUND_HALF_UP, DECIMAL_CONTEXT)

    def _show_fixed(self, value: Decimal) -> str:
        whole, _, decimals = f"{value:f}".partition(".")
        text = _fill_places(self.whole, whole.lstrip("0"), has_thousands=self.has_thousands)
        if not self.has_point:
            return text
        return f"{text}.{_fill_decimals(self.decimals, decimals)}"


def _count_commas(tokens: list[Token]) -> tuple[bool, int]:
    """Return whether commas separate thousands, and how many commas scale the number.

    A comma after the last digit divides the number by a thousand.
    """
    digits = [n for n, token in enumerate(tokens) if token.kind == "digit"]
    commas = [n for n, token in enumerate(tokens) if token == Token("other", ",")]
    if not digits:
        return False, 0
    return any(digits[0] < n < digits[-1] for n in commas), sum(n > digits[-1] for n in commas)


def _fill_places(tokens: list[Token], digits: str, *, has_thousands: bool = False) -> str:
    """Put the digits into the places of these tokens, from the right.

    The first place takes all digits that are left.
    """
    if not has_thousands and set(tokens) <= ZERO_TOKENS:
        return digits.zfill(len(tokens))
    left = list(digits)
    places = sum(token.kind == "digit" for token in tokens)
    parts: list[str] = []
    count = 0

    def append_digit(digit: str) -> None:
        nonlocal count
        if has_thousands and count and count % 3 == 0 and digit.strip():
            parts.append(",")
        parts.append(digit)
        count += 1

    for token in reversed(tokens):
        if token.kind != "digit":
            parts.append("" if token == Token("other", ",") else _get_literal(token))
            continue
        places -= 1
        append_digit(left.pop() if left else {"0": "0", "?": " ", "#": ""}[token.text])
        while not places and left:
            append_digit(left.pop())
    return "".join(part[::-1] for part in parts)[::-1]


def _fill_decimals(tokens: list[Token], digits: str) -> str:
    if set(tokens) <= ZERO_TOKENS:
        return digits
    kept = len(digits.rstrip("0"))
    parts, position = [], 0
    for token in tokens:
        if token.kind != "digit":
            parts.append("" if token == Token("other", ",") else _get_literal(token))
            continue
        is_kept = position < kept or token.text == "0"
        parts.append(digits[position] if is_kept else " " if token.text == "?" else "")
        position += 1
    return "".join(parts)


def _has_fraction(tokens: list[Token]) -> bool:
    """Return whether a slash stands between digits."""
    slash = Token("other", "/")
    if slash not in tokens:
        return False
    position = tokens.index(slash)
    before, after = tokens[:position], tokens[position + 1 :]
    return bool(before and before[-1].kind == "digit") and bool(after) and _is_digit(after[0])


def _is_digit(token: Token) -> bool:
    return token.kind == "digit" or (token.kind == "other" and token.text in "123456789")


def _show_fraction(value: float, tokens: list[Token]) -> str:
    slash = tokens.index(Token("other", "/"))
    denominator = ""
    for token in tokens[slash + 1 :]:
        if not _is_digit(token):
            break
        denominator += token.text
    exact = Fraction(_to_decimal(abs(value)))
    if denominator.isdigit() and int(denominator):
        bottom = int(denominator)
        top = int(Decimal(exact.numerator * bottom / exact.denominator).to_integral_value(
            ROUND_HALF_UP))  # fmt: skip
    else:
        digits = min(len(denominator), MAX_DENOMINATOR_DIGITS)
        near = exact.limit_denominator(10**digits - 1)
        top, bottom = near.numerator, near.denominator
    is_mixed = sum(_starts_digits(tokens, n) for n in range(slash)) > 1
    sign = "-" if value < 0 and top else ""
    if not is_mixed:
        return f"{sign}{top}/{bottom}"
    whole, top = divmod(top, bottom)
    if not top:
        return f"{sign}{whole}"
    return f"{sign}{whole} {top}/{bottom}" if whole else f"{sign}{top}/{bottom}"


def _starts_digits(tokens: list[Token], position: int) -> bool:
    """Return whether a group of digits starts at this position."""
    is_first = position == 0 or tokens[position - 1].kind != "digit"
    return tokens[position].kind == "digit" and is_first


# --- Padding with zeros -------------------------------------------------------

# A format such as 0000000000 puts zeros before a number. The zeros are part of a code or a phone
# number, so such a cell is read as text.

PADDING_TOKEN = re.compile(r'"([^"]*)"|\\(.)|_(.)|(.)', re.DOTALL)
LITERAL_CHARACTERS = frozenset(" -()+/\u00a0")
MAX_PADDED_DIGITS = 50

PaddingTemplate = list[str | None]  # Text, and None for the place of each digit.


def parse_padding(code: str) -> PaddingTemplate | None:
    """Return the text around the digits of a format that pads with zeros, or None for others."""
    template: PaddingTemplate = []
    for quoted, escaped, _, plain in PADDING_TOKEN.findall(code.partition(";")[0]):
        if plain == "0":
            template.append(None)
        elif not plain or plain in LITERAL_CHARACTERS:
            template.append(quoted or escaped or plain)
        else:  # "#", decimals, dates and conditions: no padding, or a more complex one.
            return None
    return template if 1 < template.count(None) <= MAX_PADDED_DIGITS else None


def pad_number(number: float, template: PaddingTemplate) -> str | None:
    """Return the displayed text of the number.

    Return None if the number is negative, has decimals or more than fifteen digits.
    """
    if number < 0 or number >= 10**15 or number != int(number):
        return None
    digits = list(str(int(number)).zfill(template.count(None)))
    parts = [digits.pop() if literal is None else literal for literal in reversed(template)]
    # The first place takes the digits that have no place of their own.
    first = len(parts) - 1 - template.index(None)
    parts[first] = "".join(digits) + parts[first]
    return "".join(reversed(parts)).strip()
