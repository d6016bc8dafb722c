"""Verbalizes dates and times."""

from __future__ import annotations

import re

from oviya.text.speakable.words import cardinal, digits, ordinal, plural, year

MONTHS: tuple[str, ...] = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SHORT_MONTHS = {name[:3].lower(): name for name in MONTHS} | {"sept": "September"}
_MONTH = "|".join([*MONTHS, *(rf"{short}\b\.?" for short in ("Sept", *(name[:3] for name in MONTHS)))])
_ISO = re.compile(r"(?<![\w/-])(\d{4})[-/](\d{2})[-/](\d{2})(?:(T|\s)(?=\d)|(?![\w/-]))")
_SLASHED = re.compile(r"\b(\d{1,2})([/.-])(\d{1,2})\2(\d{4})\b")
_ON_SLASHED = re.compile(r"\b(on|by|until|since|due|before|after)\s(\d{1,2})/(\d{1,2})\b(?!/)", re.IGNORECASE)
_SHORT_YEAR = re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{2})\b(?!/)")
_MONTH_DAY = re.compile(rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?\b(?![:.]\d)(?:,? (\d{{4}})\b)?")
_DAY_RANGE = re.compile(rf"\b({_MONTH}) (\d{{1,2}})\s?[-\u2013]\s?(\d{{1,2}})\b(?:,? (\d{{4}})\b)?")
_DAY_MONTH = re.compile(rf"\b(?:the )?(\d{{1,2}})(?:st|nd|rd|th)?\.?(?: of)? ({_MONTH})(?![a-z])(?:,? (\d{{4}})\b)?")
_MONTH_YEAR = re.compile(rf"\b({_MONTH}),? (\d{{4}})\b")
_DECADE = re.compile(r"\b(1[1-9]|20)(\d0)'?s\b")
_SHORT_DECADE = re.compile(r"(?<![\w.,$])['\u2019]?([2-9]0)['\u2019]?s\b")
_CLASS_OF = re.compile(r"(?<!\w)['\u2018\u2019](\d{2})\b(?!['\u2019]?s)")
_QUANTITY = (
    r"(?! ?(?:%|percent|people|dollars|euros|pounds|times|words|steps|miles|meters|metres|kilometers|calories|tokens"
    r"|years|days"
    r"|hours|minutes|seconds|pages|items|points|units|users|students|kg|km|m|g|k|ml|mg|kcal|MB|GB|\u20ac|\$)(?!\w))"
)
_YEAR = re.compile(
    r"\b(in|since|until|till|by|from|of|year|before|after|around|during|late|early|mid|spring|summer|autumn|fall|winter|circa"
    r"|copyright|and|to|the|FY|election|class|census|born|died|established|founded|season|model|q[1-4]|christmas|easter)"
    rf"( | ?\()(1[1-9]\d{{2}}|20\d{{2}})\b(?![,.]?\d){_QUANTITY}",
    re.IGNORECASE,
)
_EARLY_YEAR = re.compile(
    r"(?:\b(?:in|since|circa|around|until|during|before|after|of)|^) (?!1024)(10[1-9]\d)(?![\w,]*\d|[.:/-]\d)(?=\W|$)"
    rf"{_QUANTITY}|\b(?:year|AD) (10\d\d)\b{_QUANTITY}",
    re.IGNORECASE,
)
_YEAR_ALONE = re.compile(
    r"(?:(?<=\()|^)(1[1-9]\d{2}|20\d{2})(?=[),:]|\s(?:was|is|were|will|saw|brought|has|had|marked)\b)(?![,.]\d)"
)
_WAS_YEAR = re.compile(r"\b(was|is)(\s)(19\d\d|20[0-4]\d)(?=[.,;!?](?!\d)|$)")
_YEARS = re.compile(r"\b(1[1-9]\d{2}|20\d{2}) ?[-\u2013] ?(1[1-9]\d{2}|20\d{2}|\d{2})\b(?!-)" + _QUANTITY)
_QUARTER = re.compile(r"\bQ([1-4])\b")
_FISCAL = re.compile(r"\bFY\s?(20\d\d)\b")
_TIME_RANGE = re.compile(
    r"(?<![\d:])(\d{1,2}(?::[0-5]\d)?\s?(?:[ap]\.?m\.?)?|\b(?:noon|midday|midnight))\s?[-\u2013]\s?"
    r"(?=\d{1,2}:[0-5]\d(?![\d:])|\d{1,2}\s?[ap]\.?m\b|(?:noon|midday|midnight)\b)",
    re.IGNORECASE,
)
_ZONE = re.compile(r"\b(UTC|GMT)\s?([+\u2212-])\s?(\d{1,2})(?::?(\d{2}))?\b")
_ZULU = re.compile(r"(?<=\d)Z\b")
_WEEKDAYS = {"Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
             "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday"}  # fmt: skip
_WEEKDAY = "|".join(sorted(_WEEKDAYS, key=len, reverse=True))
_SPANNED = "|".join([*sorted({*_WEEKDAYS.values()}), *MONTHS, _WEEKDAY, *(name[:3] for name in MONTHS)])
_DAY_SPAN = re.compile(rf"\b({_SPANNED})\.?\s?[-\u2013]\s?({_SPANNED})\b")
_DAY_BEFORE = re.compile(rf"\b({_WEEKDAY})(\.,?|,)\s(?=(?:{_MONTH})\b|\d)")
_TIME = re.compile(
    r"\b([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d)(?:\.\d{1,6})?)?(?: ?([ap])\.?m\b\.?)?(?![:\d])", re.IGNORECASE
)
_HOUR = re.compile(r"\b(1[0-2]|0?[1-9]) ?([ap])\.?m\b(\.(?= [a-z]))?", re.IGNORECASE)
_CLOCK = re.compile(r"\b([01]?\d|2[0-3])h([0-5]\d)\b")


def say_dates(text: str) -> str:
    """Verbalizes dates, decades and years: "2026-11-24" is "November twenty-fourth, twenty twenty-six"."""
    text = _DAY_SPAN.sub(lambda at: f"{_full(at[1])} to {_full(at[2])}", text)
    text = _DAY_BEFORE.sub(lambda at: f"{_WEEKDAYS[at[1]]}, ", text)
    if not any(map(str.isdigit, text)):
        return text
    text = _ISO.sub(lambda at: _date(at[0], int(at[2]), int(at[3]), at[1]) + (", " if at[4] else ""), text)
    text = _SLASHED.sub(_say_slashed, text)
    text = _SHORT_YEAR.sub(_say_short_year, text)
    text = _ON_SLASHED.sub(_say_on_slashed, text)
    text = _DAY_RANGE.sub(_say_day_range, text)
    text = _DAY_MONTH.sub(lambda at: _date(at[0], _month(at[2]), int(at[1]), at[3] or ""), text)
    text = _MONTH_DAY.sub(lambda at: _date(at[0], _month(at[1]), int(at[2]), at[3] or ""), text)
    text = _MONTH_YEAR.sub(lambda at: f"{MONTHS[_month(at[1]) - 1]} {year(int(at[2]))}", text)
    text = _DECADE.sub(_say_decade, text)
    text = _SHORT_DECADE.sub(lambda at: _tens(at[1]), text)
    text = _CLASS_OF.sub(lambda at: cardinal(at[1]) if at[1][0] != "0" else f"oh {digits(at[1][1])}", text)
    text = _YEARS.sub(_say_years, text)
    text = _FISCAL.sub(lambda at: f"F Y {year(int(at[1]))}", text)
    text = _YEAR_ALONE.sub(lambda at: year(int(at[1])), text)
    text = _WAS_YEAR.sub(lambda at: f"{at[1]} {year(int(at[3]))}", text)
    # Twice: in "from 1999 to 2004", the first match includes the word before the second year.
    for _ in range(2):
        text = _YEAR.sub(lambda at: f"{at[1]}{at[2]}{year(int(at[3]))}", text)
    text = _EARLY_YEAR.sub(lambda at: f"{at[0][:-4]}{year(int(at[1] or at[2]))}", text)
    return _QUARTER.sub(lambda at: f"Q {digits(at[1])}", text)


def say_times(text: str) -> str:
    """Verbalizes times: "9:05 am" is "nine oh five a m"."""
    if not any(map(str.isdigit, text)):
        return text
    text = _TIME_RANGE.sub(r"\1 to ", text)
    text = _ZONE.sub(_say_zone, text)
    text = _ZULU.sub(" U T C", text)
    text = _CLOCK.sub(r"\1:\2", text)
    text = _TIME.sub(_say_time, text)
    return _HOUR.sub(lambda at: f"{cardinal(str(int(at[1])))} {at[2].lower()} m", text)


def _say_zone(at: re.Match[str]) -> str:
    sign = "plus" if at[2] == "+" else "minus"
    return f"{' '.join(at[1])} {sign} {cardinal(str(int(at[3])))}" + (
        f" {cardinal(at[4])}" if at[4] and int(at[4]) else ""
    )


def _say_years(at: re.Match[str]) -> str:
    last = at[2] if len(at[2]) == 4 else at[1][:2] + at[2]
    if int(last) <= int(at[1]):
        return at[0]
    return f"{year(int(at[1]))} to {year(int(last)) if len(at[2]) == 4 else cardinal(str(int(at[2])))}"


def _say_short_year(at: re.Match[str]) -> str:
    first, second = int(at[1]), int(at[2])
    month, day = (second, first) if first > 12 else (first, second)
    return _date(at[0], month, day, f"20{at[3]}")


def _say_on_slashed(at: re.Match[str]) -> str:
    first, second = int(at[2]), int(at[3])
    month, day = (second, first) if first > 12 else (first, second)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return at[0]
    return f"{at[1]} {_date(at[0], month, day, '')}"


def _say_day_range(at: re.Match[str]) -> str:
    first, last = int(at[2]), int(at[3])
    if not 1 <= first < last <= 31:
        return at[0]
    said = f"{MONTHS[_month(at[1]) - 1]} {ordinal(first)} to {ordinal(last)}"
    return f"{said}, {year(int(at[4]))}" if at[4] else said


def _full(name: str) -> str:
    return _WEEKDAYS.get(name) or _SHORT_MONTHS.get(name.lower(), name)


def _tens(number: str) -> str:
    return f"{cardinal(number)[:-1]}ies"


def _date(written: str, month: int, day: int, in_year: str) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return written
    said = f"{MONTHS[month - 1]} {ordinal(day)}"
    return f"{said}, {year(int(in_year))}" if in_year else said


def _say_slashed(at: re.Match[str]) -> str:
    """11/24/2026 and 24/11/2026: the month is the number that can be one; if both can, the order is American."""
    first, second = int(at[1]), int(at[3])
    month, day = (second, first) if first > 12 or at[2] == "." else (first, second)
    return _date(at[0], month, day, at[4])


def _say_decade(at: re.Match[str]) -> str:
    tens = cardinal(at[2]) if at[2] != "00" else "hundred"
    century = "two thousand" if at[1] + at[2] == "2000" else cardinal(at[1])
    if century == "two thousand":
        return "two thousands"
    return f"{century} {tens[:-1]}ies" if tens.endswith("y") else f"{century} {plural(tens, '')}"


def _say_time(at: re.Match[str]) -> str:
    hour, minute, second, half = int(at[1]), int(at[2]), at[3], (at[4] or "").lower()
    if minute:
        minutes = f"oh {digits(str(minute))}" if minute < 10 else cardinal(str(minute))
    else:
        minutes = "" if half else ("o'clock" if 1 <= hour <= 12 else "hundred")
    said = f"{cardinal(str(hour))} {minutes}".strip()
    if second and int(second):
        said += f" and {cardinal(str(int(second)))} {plural('second', str(int(second)))}"
    return f"{said} {half} m" if half else said


def _month(name: str) -> int:
    key = name.lower().rstrip(".")
    full = _SHORT_MONTHS.get(key) or _SHORT_MONTHS[key[:3]]
    return MONTHS.index(full) + 1
