"""Says dates and times of the day."""

from __future__ import annotations

import re

from oviya.text.speakable.words import cardinal, digits, ordinal, plural, year

MONTHS: tuple[str, ...] = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SHORT = {name[:3].lower(): name for name in MONTHS} | {"sept": "September"}
_MONTH = "|".join([*MONTHS, *(rf"{short}\b\.?" for short in ("Sept", *(name[:3] for name in MONTHS)))])
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b(?:T(?=\d))?")
_SLASHED = re.compile(r"\b(\d{1,2})[/.](\d{1,2})[/.](\d{4})\b")
_MONTH_DAY = re.compile(rf"\b({_MONTH})\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?![:.]\d)(?:,?\s+(\d{{4}})\b)?")
_DAY_MONTH = re.compile(rf"\b(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of)?\s+({_MONTH})(?:,?\s+(\d{{4}})\b)?")
_MONTH_YEAR = re.compile(rf"\b({_MONTH})\s+(\d{{4}})\b")
_DECADE = re.compile(r"\b(1[1-9]|20)(\d0)'?s\b")
_YEAR = re.compile(
    r"\b(in|since|until|till|by|from|of|year|before|after|around|during|late|early|spring|summer|autumn|fall|winter)"
    r"\s+(1[1-9]\d{2}|20\d{2})\b(?![,.]?\d)(?!\s*(?:%|percent|people|dollars|euros|times|words|steps|k|m)\b)",
    re.IGNORECASE,
)
_YEARS = re.compile(r"\b(1[1-9]\d{2}|20\d{2})\s*[-\u2013]\s*(1[1-9]\d{2}|20\d{2})\b")
_TIME = re.compile(r"\b([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?:\s*([ap])\.?m\b\.?)?(?![:\d])", re.IGNORECASE)
_HOUR = re.compile(r"\b(1[0-2]|0?[1-9])\s*([ap])\.?m\b(\.(?=\s+[a-z]))?", re.IGNORECASE)


def say_dates(text: str) -> str:
    """`text` with dates, decades and years said: "2026-11-24" is "November twenty-fourth, twenty twenty-six"."""
    text = _ISO.sub(lambda at: _date(at[0], int(at[2]), int(at[3]), at[1]), text)
    text = _SLASHED.sub(_say_slashed, text)
    text = _DAY_MONTH.sub(lambda at: _date(at[0], _month(at[2]), int(at[1]), at[3] or ""), text)
    text = _MONTH_DAY.sub(lambda at: _date(at[0], _month(at[1]), int(at[2]), at[3] or ""), text)
    text = _MONTH_YEAR.sub(lambda at: f"{MONTHS[_month(at[1]) - 1]} {year(int(at[2]))}", text)
    text = _DECADE.sub(_say_decade, text)
    text = _YEARS.sub(lambda at: f"{year(int(at[1]))} to {year(int(at[2]))}", text)
    return _YEAR.sub(lambda at: f"{at[1]} {year(int(at[2]))}", text)


def say_times(text: str) -> str:
    """`text` with times said: "9:05 am" is "nine oh five a m"."""
    text = _TIME.sub(_say_time, text)
    return _HOUR.sub(lambda at: f"{cardinal(str(int(at[1])))} {at[2].lower()} m", text)


def _date(written: str, month: int, day: int, in_year: str) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return written
    said = f"{MONTHS[month - 1]} {ordinal(day)}"
    return f"{said}, {year(int(in_year))}" if in_year else said


def _say_slashed(at: re.Match[str]) -> str:
    """11/24/2026 and 24/11/2026: the month is whichever can be one, the American order where both can."""
    first, second = int(at[1]), int(at[2])
    month, day = (second, first) if first > 12 or "." in at[0] else (first, second)
    return _date(at[0], month, day, at[3])


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
    if second:
        said += f" and {cardinal(str(int(second)))} {plural('second', str(int(second)))}"
    return f"{said} {half} m" if half else said


def _month(name: str) -> int:
    key = name.lower().rstrip(".")
    full = _SHORT.get(key) or _SHORT[key[:3]]
    return MONTHS.index(full) + 1
