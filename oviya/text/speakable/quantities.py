"""Verbalizes numbers with units."""

from __future__ import annotations

import re

from oviya.text.speakable.numbers import say_fraction
from oviya.text.speakable.words import NUMBER, cardinal, plural
from oviya.text.tables import inverted, load_table

UNITS = inverted(load_table("units"))
_UNIT_PLURALS = {"foot": "feet", "inch": "inches", "hertz": "hertz", "bar": "bar", "knot": "knots"} | {
    f"{scale}hertz": f"{scale}hertz" for scale in ("kilo", "mega", "giga")
}
_ONE_LETTER = frozenset({"m", "g", "l", "L", "s", "h", "W", "V", "N", "J"})
_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_RANGED = rf"([-\u2212+]?)({NUMBER})"
_WITH_UNIT = re.compile(rf"(?<![\w.,]){_RANGED}[\s-]?({_UNIT})(?![\w/\u00b2\u00b3'])\.?(?=(?:\s[a-z])|\.?)")
_FRACTION_WITH_UNIT = re.compile(
    rf"(?<![\w/.,])(?:(\d{{1,4}})(?: |-))?(\d{{1,3}})[/\u2044](\d{{1,3}})"
    rf"(?:(\s?-?)({_UNIT})(?![\w/\u00b2\u00b3'])(\.(?=\s[a-z]))?|(?<!\d\")\s?[\"\u2033](?!\w))"
)
_BY = re.compile(
    rf"(?<![\w.,])({NUMBER})\s?[x\u00d7]\s?({NUMBER})(?:\s?[x\u00d7]\s?({NUMBER}))?(?=\s?(?:{_UNIT}|in|inch|inches|pixels?)\b)"
)
_FEET_INCHES = re.compile(
    r"(?<![\w.,])(\d{1,2})\s?['\u2032\u2019]\s?(\d|1[01])(?:\s?(?:[\"\u2033\u201d]|'')|(?![\w']))"
)
_SIZE = re.compile(
    rf"(?<![\w.,])({NUMBER})[\"\u2033](?=\s(?:screen|monitor|display|TV|tv|pipe|wheel|pizza|tablet|laptop)\b)"
)
_INCHES = re.compile(
    rf"(?<![\w.,])({NUMBER})(?:\s?\u2033|\"(?=\s(?:wide|tall|long|by|x)\b)|\s?in\.?(?=\s(?:wide|tall|long|deep|high|thick)\b))"
)
_FEET_AND = re.compile(r"(\d{1,2}\s?(?:ft|feet|foot))\s(\d{1,2})\s?in\b\.?")
_SPEED = re.compile(r"(?<![\d\s])(?<!\d )\bkm/h\b|^km/h\b|(?<=[a-z] )km/h\b")
_UNITS_BY = re.compile(r"(?<=\d)(\s?(?:cm|mm|km|m|ft|in))\s?[x\u00d7]\s?(?=\d)")
_COORDINATE = re.compile(
    rf"(?<![\w.,])({NUMBER})\s?\u00b0\s?(?:(\d{{1,2}})\s?[\u2032'\u2019]\s?)?(?:({NUMBER})\s?[\u2033\"\u201d]\s?)?([NSEW])\b"
)
_DEGREES = re.compile(rf"(?<![\w.,]){_RANGED}\s?\u00b0\s?([CFK]\b)?")
_ARTICLE = re.compile(r"\b[Aa]n? $")
_NOUN = re.compile(r" ?[a-z]")
_DEGREE_SIGN = re.compile(r"\s?\u00b0\s?([CFK]\b)?")
_PERCENT = re.compile(rf"(?<![\d.,])({NUMBER})\s?%")
_PERMILLE = re.compile(rf"(?<![\d.,])({NUMBER})\s?\u2030")
_SCALE_NAMES = {"C": " Celsius", "F": " Fahrenheit", "K": " Kelvin"}
_POINTS = {"N": "north", "S": "south", "E": "east", "W": "west"}
_SIGNS = {"-": "minus ", "\u2212": "minus ", "+": "plus ", "": ""}


def say_quantities(text: str) -> str:
    """Verbalizes degrees, percentages and units: "5 km" is "five kilometers"."""
    if "\u00b0" in text:
        text = _COORDINATE.sub(_say_coordinate, text)
        text = _DEGREES.sub(_say_degrees, text)
        text = _DEGREE_SIGN.sub(lambda at: f" degrees{_SCALE_NAMES.get(at[1] or '', '')} ", text)
    text = _FRACTION_WITH_UNIT.sub(_say_fraction_with_unit, text)
    text = _PERCENT.sub(lambda at: f"{_plain(at[1])} percent", text)
    text = _PERMILLE.sub(lambda at: f"{_plain(at[1])} per mille", text)
    text = _FEET_INCHES.sub(lambda at: f"{_plain(at[1])} {'foot' if at[1] == '1' else 'feet'} {_plain(at[2])}", text)
    text = _SIZE.sub(lambda at: f"{_plain(at[1])} inch", text)
    text = _INCHES.sub(lambda at: f"{_plain(at[1])} {'inch' if at[1] == '1' else 'inches'}", text)
    text = _FEET_AND.sub(lambda at: f"{at[1]} {_plain(at[2])} {'inch' if at[2] == '1' else 'inches'}", text)
    text = _SPEED.sub("kilometers per hour", text)
    text = _UNITS_BY.sub(r"\1 by ", text)
    text = _BY.sub(lambda at: " by ".join(group for group in at.groups() if group), text)
    return _WITH_UNIT.sub(_say_unit, text)


def _say_coordinate(at: re.Match[str]) -> str:
    said = f"{_plain(at[1])} {plural('degree', at[1])}"
    if at[2]:
        said += f" {_plain(at[2])} {plural('minute', at[2])}"
    if at[3]:
        said += f" {_plain(at[3])} {plural('second', at[3])}"
    return f"{said} {_POINTS[at[4]]}"


def _say_degrees(at: re.Match[str]) -> str:
    is_adjective = _ARTICLE.search(at.string, max(0, at.start() - 4), at.start()) and _NOUN.match(at.string, at.end())
    number = "1" if is_adjective and not at[3] else at[2]  # "a ninety degree turn"
    return f"{_SIGNS[at[1]]}{_plain(at[2])} {plural('degree', number)}{_SCALE_NAMES.get(at[3] or '', '')} "


def _say_unit(at: re.Match[str]) -> str:
    written = at[0]
    hyphen = written[len(at[1]) + len(at[2])] == "-"
    if hyphen and at[3] in _ONE_LETTER:
        return written
    dot = "." if written.endswith(".") and not re.match(r"\s[a-z]", at.string[at.end() :][:2]) else ""
    first, _, rest = UNITS[at[3]].partition(" per ")
    many = first if at[2] == "1" or hyphen else _unit_plural(first)
    return f"{_SIGNS[at[1]]}{_plain(at[2])} {many}{f' per {rest}' if rest else ''}{dot}"


def _say_fraction_with_unit(at: re.Match[str]) -> str:
    if at[5] is None and at.string.count('"', 0, at.start()) % 2:
        return at[0]  # the sign closes a quotation
    first, _, rest = UNITS[at[5]].partition(" per ") if at[5] else ("inch", "", "")
    tail = f"{first}{f' per {rest}' if rest else ''}"
    said = say_fraction(at)
    if at[4] == "-" or (not at[1] and at[2] == "1"):
        return f"{said} {tail}"
    if at[1] or " over " in said or " out of " in said:
        return f"{said} {_unit_plural(first)}{f' per {rest}' if rest else ''}"
    return f"{said} of {'an' if first[0] in 'aeiou' or first.startswith('hour') else 'a'} {tail}"


def _unit_plural(unit: str) -> str:
    head, of, tail = unit.partition(" of ")
    *before, last = head.split(" ")
    return " ".join([*before, _UNIT_PLURALS.get(last, f"{last}s")]) + of + tail


def _plain(number: str) -> str:
    return cardinal(number.replace(",", ""))
