"""Verbalizes numbers, fractions, ranges and arithmetic."""

from __future__ import annotations

import re

from oviya.text.speakable.words import NUMBER, cardinal, digits, in_pairs, ordinal

# Parts of the patterns below.
_NOT_IN_NUMBER = r"(?<![\w.,])"
_DASH = r"[-\u2013\u2014]"
_GROUP = "[. \u00a0\u202f'\u2019]"
"""A separator of thousands in other languages than English."""
_GROUPED_WHOLE = rf"\d{{1,3}}(?:{_GROUP}\d{{3}})*+|\d++"
"""A whole number, with or without such separators: "1.234", "1234"."""
_DOTTED_WHOLE = r"\d{1,3}(?:\.\d{3})++"
"""A whole number with points as separators: "1.234.567"."""
_SYMBOL = r"[\u20ac\u00a3\u00a5\u20bd\u20ba\u20b4\u20aa%\u2030\u00b0$]"
_CURRENCY = r"EUR\b|CHF\b|USD\b|GBP\b|PLN\b|SEK\b|NOK\b|DKK\b|CZK\b|HUF\b|RUB\b|BRL\b|kr\b|z\u0142|K\u010d|Ft\b|lei\b"
_UNIT = r"[kKcm]?m\b|kg\b|mg\b|g\b|[mcd]?[lL]\b|km/h|kWh?\b"
_SCALE = r"Mio\b|Mrd\b|euros?\b|million\b|billion\b"
_CURRENCY_OR_UNIT = rf"\s?(?:{_SYMBOL}|{_CURRENCY}|{_UNIT}|{_SCALE})"
_CURRENCY_BEFORE = r"[\u20ac\u00a3\u20ba\u20bd\u20b4]|R\$|\bEUR|\bCHF|\bkr\.?"

# Numbers as other languages than English write them.
_COMMA_DECIMAL = re.compile(rf"{_NOT_IN_NUMBER}({_GROUPED_WHOLE}),(\d{{1,2}})(?![\d,])(?={_CURRENCY_OR_UNIT})")
_COMMA_AFTER_SIGN = re.compile(rf"((?:{_CURRENCY_BEFORE})\s?-?)({_GROUPED_WHOLE}),(\d{{1,2}}|{_DASH}+)(?![\d,])")
_COMMA_ALONE = re.compile(rf"{_NOT_IN_NUMBER}(\d{{1,3}}(?:[.'\u2019]\d{{3}})++),(\d{{1,2}})(?![\d,])")
_GROUPED = re.compile(
    r"(?<![\w.,'-])("
    r"\d{1,3}(?:'\d{3}){1,5}"  # 1'234
    r"|\d{1,3}(?:\.\d{3}){2,5}"  # 1.234.567
    r"|\d{1,3}(?: \d{3}){2,5}"  # 1 234 567
    r"|\d{1,3} \d{3}(?=\s?[\u20ac%$\u00a3]|\s(?:EUR|kr|people|euros|dollars|km|kg|m)\b)"  # 1 234 km
    r")(\.\d{1,2})?(?![\d'.,]*\d| \d)"
)
_GROUPED_MONEY = re.compile(
    rf"((?:\u20ac|\bEUR|\bCHF|R\$|\bRp\.?|\bkr\.?)\s?)({_DOTTED_WHOLE})(?![\d.,])"
    rf"|{_NOT_IN_NUMBER}({_DOTTED_WHOLE})(?=\s?(?:\u20ac|EUR\b|kr\b|z\u0142|\u20ab|VND\b))"
    rf"|{_NOT_IN_NUMBER}(\d{{1,3}}\.000)(?=\s(?:km|kg|m|people|euros?|dollars)\b)"
)
_INDIAN = re.compile(rf"{_NOT_IN_NUMBER}(\d{{1,2}}(?:,\d{{2}}){{1,5}},\d{{3}})(?![\d,])")

# Numbers that are not quantities.
_VERSION = re.compile(
    rf"{_NOT_IN_NUMBER}([vV]|[Vv]ersion\s|[Rr]elease\s|v\.\s?)?"
    r"(\d++(?:\.\d++){2,4}|(?<=[vV])\d++(?:\.\d++)?|(?<=ersion )\d++\.\d++)(?![\w]|\.\d)"
    r"([ab]\d|-?(?:alpha|beta|rc)[.\d]*)?"
)
_ORDINAL = re.compile(r"\b(\d{1,9}|\d{1,3}(?:,\d{3}){1,3})(?:st|nd|rd|th|ST|ND|RD|TH)\b")
_SPLIT = re.compile(r"(?<![\w/.-])(\d{2})[/\u2013-](\d{2})(?![\w/-]|\.\d)")
_SCIENTIFIC = re.compile(r"(?<![\w])(\d{1,3}(?:\.\d{1,12})?)[eE]\+?(-?\d{1,3})(?!\w)")
_HEXADECIMAL = re.compile(r"\b0[xX]([0-9A-Fa-f]{1,16})\b")
_RESOLUTION = re.compile(r"\b(\d{1,2})(\d\d)([pi])\b|\b([248])K\b(?!\s(?:people|users|runs?|race))")
_PIXELS = re.compile(rf"{_NOT_IN_NUMBER}(\d{{3,4}})\s?[x\u00d7]\s?(\d{{3,4}})(?:\s?px)?(?![\w.,]*\d)\b")
_HASH = re.compile(r"(?:#\s?|\b[Nn]os?\.\s?|\u2116\s?|\b[Nn]r\.\s?)(?=\d)")

# Fractions, ranges and ratios.
_OUT_OF = re.compile(r"(?<![\w/.])(\d{1,3}(?:\.\d)?)/(\d{1,3})(?=\s(?:stars?|points?|marks?|on\b|rating)|\s?\u2b50)")
_FRACTION = re.compile(
    r"(?<![\w/.])(?:(\d{1,4})(?: {1,2}|-))?(\d{1,3})\s?[/\u2044]\s?(\d{1,3})(?:rds?|ths?|nds?)?(?![\w/]|\.\d)"
)
_PARTS = {2: "half", 4: "quarter"}
_RANGE = re.compile(rf"(?<![\w.,-])({NUMBER})(\s?%)?\s?{_DASH}\s?({NUMBER})(?![\w-]*-\d|[.,]\d)")
_RATIO = re.compile(r"(?<![\w.:])(\d{1,3}):(\d{1,3})(?![\w:])")
_ASPECTS = frozenset({"16:9", "16:10", "21:9"})

# Arithmetic.
_OPERAND = r"[\w(\u221a\u221b]"
_EQUATION = re.compile(r"\d\s?=|=\s?-?\d")
_SIGNED = re.compile(r"(?<![\w.)\u2019'])([-\u2212+\u00b1])\s?(?=[\d.]*\d)")
_PLUS_MINUS = re.compile(r" ?\u00b1 ?")
_MINUS = re.compile(r"(?<=[\d)]) [-\u2212\u2013] (?=[\d(])|(?<=[\w)]) ?[-\u2212\u2013] ?(?=[\u221a\u221b])")
_MINUS_TIGHT = re.compile(r"(?<=[\d)])\s?[-\u2212\u2013]\s?(?=[\d(])")
_OVER = re.compile(r"(?<=[\d)])\s?[/\u2044]\s?(?=[\d(])")
_TIMES = re.compile(rf"(?<=[\w)])\s?[*\u00d7\u00b7\u22c5]\s?(?={_OPERAND})|(?<=\d)\s?[xX]\s?(?=\d)")
_BY = re.compile(r"(?<=\d)\s?[x\u00d7]\s?(?=\d{3,4}\b)|(?<=\d)x(?=\d)")
_FOLD = re.compile(r"(?<=\d)[xX\u00d7](?![\w]|\s?(?:[-+=*/^\u2212]|plus|minus|times|equals|divided))")
_PLUS = re.compile(rf"(?<=[\w)]) ?\+ ?(?={_OPERAND})")
_TAIL_PLUS = re.compile(r"(?<=\d)\+(?![\w+])")
_POWER = re.compile(r"(?<=[\w)])\s?\^\s?\(?(-?\w{1,12})\)?")
_SUPERSCRIPTS = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b\u207a\u207f\u2071\u02e3", "0123456789-+nix"
)
_SUPERSCRIPT = re.compile("(?<=[\\w)])([\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207a\u207b\u207f\u2071\u02e3]++)")
_POWERS = {"2": "squared", "3": "cubed", "n": "to the n"}

# Quantities.
_BILLION = r"bn|Mrd\.?|(?<=\.\d)B|B(?=\s(?:parameters?|params|people|users|tokens|views|dollars)\b)"
_SCALED = re.compile(rf"{_NOT_IN_NUMBER}({NUMBER})\s?(?:([kK])|(M|mn|Mio\.?)|({_BILLION}))(?![\w'])(\+)?")
_APPROXIMATE = re.compile(r"(?<![\w.])[~\u2248\u223c]\s?(?=[\d$\u20ac\u00a3])")
_LESS = re.compile(r"(?<![\w<=-])<\s?(?=\$?\d)")
_MORE = re.compile(r"(?<![\w>=-])>\s?(?=\$?\d)")
_LIST_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?!\d))")
_LEADING_POINT = re.compile(r"(?<![\w.\d])\.(?=\d)")
_NUMBER = re.compile(NUMBER)


MAX_UNGROUPED_DIGITS = 9
"""A longer number without separators names something, e.g. an account or a telephone; it is not a quantity."""


def plain_numbers(text: str) -> str:
    """Rewrites numbers in English notation: "1.234,56 \u20ac" becomes "1234.56 \u20ac"."""
    if not any(map(str.isdigit, text)):
        return text
    text = _COMMA_DECIMAL.sub(lambda at: f"{_ungrouped(at[1])}.{at[2]}", text)
    text = _COMMA_AFTER_SIGN.sub(_say_comma_after_sign, text)
    text = _COMMA_ALONE.sub(lambda at: f"{_ungrouped(at[1])}.{at[2]}", text)
    text = _GROUPED_MONEY.sub(lambda at: f"{at[1] or ''}{_ungrouped(at[2] or at[3] or at[4])}", text)
    text = _GROUPED.sub(lambda at: _ungrouped(at[1]) + (at[2] or ""), text)
    text = _INDIAN.sub(lambda at: at[1].replace(",", ""), text)
    text = _APPROXIMATE.sub("about ", text)
    text = _MORE.sub("more than ", _LESS.sub("less than ", text))
    text = _LIST_COMMA.sub(", ", text)
    return _LEADING_POINT.sub("0.", text)


def _ungrouped(number: str) -> str:
    return "".join(filter(str.isdigit, number))


def _say_comma_after_sign(at: re.Match[str]) -> str:
    whole = _ungrouped(at[2])
    return f"{at[1]}{whole}.{at[3]}" if at[3].isdigit() else f"{at[1]}{whole}"


def say_series(text: str) -> str:
    """Verbalizes ranges and other pairs of numbers.  Units, which follow the second number, come later."""
    text = (
        text.replace("24/7/365", "twenty-four seven three sixty-five")
        .replace("24/7", "twenty-four seven")
        .replace("9/11", "nine eleven")
    )
    text = _SPLIT.sub(_say_split, text)
    if "=" not in text:
        text = _PIXELS.sub(_say_pixels, text)
    text = _SCIENTIFIC.sub(r"\1 times 10^\2", text)
    text = _HEXADECIMAL.sub(lambda at: f"zero x {' '.join(at[1]).upper()}", text)
    if _EQUATION.search(text):
        text = _MINUS_TIGHT.sub(" minus ", text)
        text = _OVER.sub(" divided by ", text)
        text = _TIMES.sub(" times ", text)
    text = _MINUS.sub(" minus ", text)
    return _RANGE.sub(_say_range, text)


def _say_range(at: re.Match[str]) -> str:
    return f"{at[1]}{at[2] or ''} to {at[3]}"


def say_numbers(text: str) -> str:
    """Verbalizes the remaining numbers."""
    text = _VERSION.sub(_say_version, text)
    text = _RESOLUTION.sub(_say_resolution, text)
    text = _ORDINAL.sub(lambda at: ordinal(int(at[1].replace(",", ""))), text)
    text = _OUT_OF.sub(r"\1 out of \2", text)
    text = _FRACTION.sub(say_fraction, text)
    text = _HASH.sub("number ", text)
    text = _SUPERSCRIPT.sub(_say_superscript, text)
    text = _POWER.sub(lambda at: f" {_power(at[1])}", text)
    text = _PLUS_MINUS.sub(" plus or minus ", text)
    text = _PLUS.sub(" plus ", text)
    text = _BY.sub(" by ", text)
    text = _TIMES.sub(" times ", text)
    text = _FOLD.sub(" times", text)
    text = _RATIO.sub(_say_ratio, text)
    text = _SCALED.sub(_say_scaled, text)
    text = _TAIL_PLUS.sub(" plus", text)
    text = _SIGNED.sub(lambda at: {"+": "plus ", "\u00b1": "plus or minus "}.get(at[1], "minus "), text)
    return _NUMBER.sub(_say_number, text)


def _say_version(at: re.Match[str]) -> str:
    word = at[1] or ""
    if not word and at[2].count(".") < 2:
        return at[0]
    said = " point ".join(cardinal(part) for part in at[2].split("."))
    ending = (at[3] or "").replace("rc", " R C ").replace("-", " ").replace(".", " ")
    return f"{'version ' if word in ('v', 'V') else word}{said}{' ' if ending else ''}{ending}"


def _say_resolution(at: re.Match[str]) -> str:
    """A video resolution: "1080p" is "ten eighty p"."""
    return f"{cardinal(at[4])} K" if at[4] else f"{cardinal(at[1])} {cardinal(at[2])} {at[3]}"


def _say_superscript(at: re.Match[str]) -> str:
    return f" {_power(at[1].translate(_SUPERSCRIPTS))}"


def _power(exponent: str) -> str:
    if exponent in ("+", "-"):
        return "plus" if exponent == "+" else "minus"
    if exponent in _POWERS:
        return _POWERS[exponent]
    if exponent.startswith("-"):
        return f"to the power of minus {exponent[1:]}"
    return f"to the power of {exponent}"


def _say_scaled(at: re.Match[str]) -> str:
    scale = "thousand" if at[2] else "million" if at[3] else "billion"
    return f"{at[1]} {scale}{' plus' if at[5] else ''}"


def _say_number(at: re.Match[str]) -> str:
    """The number in words, separated from adjacent letters ("B2" is "B two")."""
    text, start, end = at.string, at.start(), at.end()
    before = " " if start and text[start - 1].isalpha() else ""
    after = " " if end < len(text) and text[end].isalpha() else ""
    number = at[0]
    is_name = number.isdigit() and len(number) > MAX_UNGROUPED_DIGITS and not number.endswith("000000")
    return f"{before}{digits(number) if is_name else cardinal(number.replace(',', ''))}{after}"


def _say_ratio(at: re.Match[str]) -> str:
    return f"{at[1]} {'by' if at[0] in _ASPECTS else 'to'} {at[2]}"


def _say_pixels(at: re.Match[str]) -> str:
    """The size of an image: "1920x1080" is "nineteen twenty by ten eighty"."""
    return f"{in_pairs(at[1])} by {in_pairs(at[2])}{' pixels' if at[0].endswith('px') else ''}"


def _say_split(at: re.Match[str]) -> str:
    """Shares of a hundred, "50/50" is "fifty fifty", and normal vision, "20/20"."""
    if int(at[1]) + int(at[2]) == 100 or at[1] == at[2] == "20":
        return f"{cardinal(at[1])} {cardinal(at[2])}"
    return at[0]


def say_fraction(at: re.Match[str]) -> str:
    """A fraction in words.  Groups of the match: the whole number before it (optional), numerator, denominator."""
    whole, top, bottom = at[1], int(at[2]), int(at[3])
    if bottom == 10 and top > 1 and not whole:
        return f"{at[2]} out of {at[3]}"
    if not 1 < bottom <= 20 or not 0 < top < bottom or at[2][0] == "0" or at[3][0] == "0":
        said = f"{at[2]} over {at[3]}"
        return f"{whole} {said}" if whole else said
    part = _PARTS.get(bottom) or ordinal(bottom)
    said = f"one {part}" if top == 1 else f"{cardinal(at[2])} {'halves' if part == 'half' else part + 's'}"
    if whole:
        return f"{cardinal(whole)} and {said}"
    return said
