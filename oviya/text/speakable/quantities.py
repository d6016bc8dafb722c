"""Says amounts of money and numbers with units."""

from __future__ import annotations

import re

from oviya.text.speakable.words import cardinal, plural

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}
_SCALE = r"thousand|million|billion|trillion|bn|mn|[kKmMbB]"
CURRENCIES = {
    "$": ("dollar", "cent"), "US$": ("dollar", "cent"), "USD": ("dollar", "cent"), "\u20ac": ("euro", "cent"),
    "EUR": ("euro", "cent"), "\u00a3": ("pound", "penny"), "GBP": ("pound", "penny"), "\u00a5": ("yen", ""),
    "JPY": ("yen", ""), "CHF": ("franc", "centime"), "\u20b9": ("rupee", "paisa"), "INR": ("rupee", "paisa"),
}  # fmt: skip
_PLURALS = {"penny": "pence", "yen": "yen", "paisa": "paise"}
_SIGN = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
_BEFORE = re.compile(rf"(?<![\w.])(-?)({_SIGN})\s?({NUMBER})(?:\s?({_SCALE})\b)?(?![\d])")
_AFTER = re.compile(rf"(?<![\w.,])(-?)({NUMBER})(?:\s?({_SCALE}))?\s?({_SIGN})(?!\w)")

UNITS = {
    "km/h": "kilometer per hour", "kmh": "kilometer per hour", "mph": "mile per hour", "m/s": "meter per second",
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "m": "meter", "mi": "mile", "ft": "foot",
    "in": "inch", "yd": "yard", "kg": "kilogram", "mg": "milligram", "g": "gram", "lb": "pound", "lbs": "pound",
    "oz": "ounce", "ml": "milliliter", "mL": "milliliter", "cl": "centiliter", "l": "liter", "L": "liter",
    "kWh": "kilowatt hour", "kW": "kilowatt", "W": "watt", "V": "volt", "Hz": "hertz", "kHz": "kilohertz",
    "MHz": "megahertz", "GHz": "gigahertz", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "ms": "millisecond", "s": "second", "sec": "second", "min": "minute", "mins": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "kcal": "kilocalorie", "dB": "decibel", "sq ft": "square foot",
    "m\u00b2": "square meter", "km\u00b2": "square kilometer", "m\u00b3": "cubic meter",
}  # fmt: skip
_UNIT_PLURALS = {"foot": "feet", "inch": "inches", "hertz": "hertz", "kilohertz": "kilohertz"} | {
    f"{scale}hertz": f"{scale}hertz" for scale in ("mega", "giga")
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True) if unit != "in")
_WITH_UNIT = re.compile(rf"(?<![\w.,])(-?)({NUMBER})\s?({_UNIT})(?![\w/\u00b2\u00b3])")
_DEGREES = re.compile(rf"(?<![\w.,])([-\u2212]?)({NUMBER})\s?\u00b0\s?([CF]\b)?")
_PERCENT = re.compile(rf"(?<![\d.,])({NUMBER})\s?%")
_SCALE_NAMES = {"C": " Celsius", "F": " Fahrenheit"}


def say_money(text: str) -> str:
    """`text` with money said: "$5.50" is "five dollars and fifty cents"."""
    text = _BEFORE.sub(lambda at: _amount(at[1], at[3], at[4], at[2]), text)
    return _AFTER.sub(lambda at: _amount(at[1], at[2], at[3], at[4]), text)


def say_quantities(text: str) -> str:
    """`text` with degrees, per cent and units said: "5 km" is "five kilometers"."""
    text = _DEGREES.sub(_say_degrees, text)
    text = _PERCENT.sub(lambda at: f"{_plain(at[1])} percent", text)
    return _WITH_UNIT.sub(_say_unit, text)


def _amount(sign: str, number: str, scale: str | None, currency: str) -> str:
    unit, part = CURRENCIES[currency]
    number = number.replace(",", "")
    minus = "minus " if sign else ""
    if scale:
        name = _SCALES.get(scale.lower(), scale.lower())
        return f"{minus}{cardinal(number)} {name} {_many(unit, '')}"
    whole, _, fraction = number.partition(".")
    if len(fraction) != 2 or not part:
        return f"{minus}{cardinal(number)} {_many(unit, number)}"
    parts = str(int(fraction))
    cents = f"{cardinal(parts)} {_many(part, parts)}"
    if whole == "0" and parts != "0":
        return minus + cents
    said = f"{minus}{cardinal(whole)} {_many(unit, whole)}"
    return said if parts == "0" else f"{said} and {cents}"


def _say_degrees(at: re.Match[str]) -> str:
    minus = "minus " if at[1] else ""
    return f"{minus}{_plain(at[2])} {plural('degree', at[2])}{_SCALE_NAMES.get(at[3] or '', '')} "


def _say_unit(at: re.Match[str]) -> str:
    first, _, rest = UNITS[at[3]].partition(" per ")
    many = first if at[2] == "1" else _unit_plural(first)
    return f"{'minus ' if at[1] else ''}{_plain(at[2])} {many}{f' per {rest}' if rest else ''}"


def _unit_plural(unit: str) -> str:
    *before, last = unit.split(" ")
    return " ".join([*before, _UNIT_PLURALS.get(last, f"{last}s")])


def _many(unit: str, number: str) -> str:
    return unit if number == "1" else _PLURALS.get(unit, f"{unit}s")


def _plain(number: str) -> str:
    return cardinal(number.replace(",", ""))
