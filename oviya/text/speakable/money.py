"""Verbalizes amounts of money."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oviya.text.speakable.words import NUMBER, cardinal, plural
from oviya.text.tables import inverted, load_table


@dataclass(frozen=True, slots=True)
class Currency:
    """Names of a currency, and those of its hundredth part (empty: it has none)."""

    one: str
    many: str
    part: str
    parts: str


def _currency(one: str, many: str = "", part: str = "", parts: str = "") -> Currency:
    return Currency(one, many or f"{one}s", part, parts or (part and f"{part}s"))


_TABLES = load_table("money")
CURRENCIES = {sign: _currency(**names) for names in _TABLES["currencies"] for sign in names.pop("signs")}
"""By sign, code of ISO 4217 and common short form."""
_SCALES = inverted(_TABLES["scales"])
_SCALE = r"thousand|million|billion|trillion|Mio\.?|Mrd\.?|trn|bn|mn|tn|[kKmMbBtT]"
_SIGN = "|".join(
    re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True) if sign not in ("RM", "lei", "\u00a2")
)
_ALL = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
_PER = inverted(_TABLES["per"])
_PER_UNIT = "|".join(sorted(map(re.escape, _PER), key=len, reverse=True))
_TAIL = rf"(?:\s?/\s?({_PER_UNIT})\b)?"
_BEFORE = re.compile(
    rf"(?<![\w.])([-\u2212]?)({_SIGN})\s?([-\u2212]?)({NUMBER})(?:\s?({_SCALE})(?![\w]))?"
    rf"(?:\s?[-\u2013\u2014]\s?(?:\2\s?)?({NUMBER})(?:\s?({_SCALE})(?!\w))?)?(?!\d){_TAIL}"
)
_AFTER = re.compile(
    rf"(?<![\w.,])([-\u2212]?)({NUMBER})(?:\s?({_SCALE}))?(?:\s?[-\u2013\u2014]\s?({NUMBER})(?:\s?({_SCALE}))?)?(?:,[-\u2013\u2014])?"
    rf"\s?({_ALL})(?!\w){_TAIL}"
)
_CENTS_BEFORE = re.compile(rf"(?<![\w.])\u00a2\s?({NUMBER})(?!\w)")
_PENCE = re.compile(rf"(?<![\w.,\u00a3])({NUMBER})p(?!\w)(?=\s(?:each|per|a|coin|off|piece|more|less)\b)")
_ALONE = re.compile(
    r"[\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20ba\u20b4\u20aa\u0e3f\u20ab\u20a6\u20b1\u20bf\u20a1\u20b5\u20b8\u20be\u20bc]"
)


def say_money(text: str) -> str:
    """Verbalizes amounts of money: "$5.50" is "five dollars and fifty cents"."""
    text = _BEFORE.sub(_say_before, text)
    text = _AFTER.sub(_say_after, text)
    text = _CENTS_BEFORE.sub(lambda at: f"{cardinal(at[1].replace(',', ''))} {plural('cent', at[1])}", text)
    text = _PENCE.sub(lambda at: f"{cardinal(at[1].replace(',', ''))} pence", text)
    return _ALONE.sub(lambda at: f" {CURRENCIES[at[0]].many} ", text)


def _say_before(at: re.Match[str]) -> str:
    currency = CURRENCIES[at[2]]
    minus = bool(at[1] or at[3])
    return _amounts(at, currency, minus, (at[4], at[5]), (at[6], at[7]), at[8])


def _say_after(at: re.Match[str]) -> str:
    return _amounts(at, CURRENCIES[at[6]], bool(at[1]), (at[2], at[3]), (at[4], at[5]), at[7])


def _amounts(
    at: re.Match[str],
    currency: Currency,
    minus: bool,
    first: tuple[str, str | None],
    second: tuple[str | None, str | None],
    per: str | None,
) -> str:
    sign = "minus " if minus else ""
    said = _amount(*first, currency)
    if second[0]:
        # "$5-10" is five to ten dollars, "$1.50-$2.25" names both amounts
        last = _amount(second[0], second[1], currency)
        said = f"{said} to {last}" if "." in first[0] else f"{_number(first[0], first[1])} to {last}"
    before = " " if at.start() and at.string[at.start() - 1].isalnum() else ""
    after = " " if at.end() < len(at.string) and at.string[at.end()].isalnum() else ""
    return f"{before}{sign}{said}{f' per {_PER[per]}' if per else ''}{after}"


def _number(number: str, scale: str | None) -> str:
    said = cardinal(number.replace(",", ""))
    return f"{said} {_scale(scale)}" if scale else said


def _scale(scale: str) -> str:
    return _SCALES.get(scale.lower(), scale.lower())


def _amount(number: str, scale: str | None, currency: Currency) -> str:
    number = number.replace(",", "")
    if scale:
        return f"{_number(number, scale)} {currency.many}"
    whole, _, fraction = number.partition(".")
    if len(fraction) != 2 or not currency.part:
        return f"{cardinal(number)} {currency.one if number == '1' else currency.many}"
    parts = str(int(fraction))
    small = f"{cardinal(parts)} {currency.part if parts == '1' else currency.parts}"
    if whole.strip("0") == "" and parts != "0":
        return small
    said = f"{cardinal(whole)} {currency.one if whole == '1' else currency.many}"
    return said if parts == "0" else f"{said} and {small}"
