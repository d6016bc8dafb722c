"""Numbers in words, without the commas of num2words, which would be spoken as pauses."""

from __future__ import annotations

from num2words import num2words  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

NUMBER = r"\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d++)?+|\d++(?:\.\d++)?+"
"""A number in English notation: "1,234.5"."""
MAX_CARDINAL_DIGITS = 15
"""A longer number is spoken digit by digit."""


def cardinal(number: str) -> str:
    """A decimal number in words: "1234.50" is "one thousand two hundred ... point five zero"."""
    whole, point, fraction = number.partition(".")
    if len(whole) > MAX_CARDINAL_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        words = digits(whole)
    else:
        words = num2words(int(whole or "0")).replace(",", "")
    return f"{words} point {digits(fraction)}" if point and fraction else words


def ordinal(number: int) -> str:
    """`number` as first, second, third ..."""
    return num2words(number, to="ordinal").replace(",", "")


def year(number: int) -> str:
    """`number` as a year: "nineteen eighty-four"."""
    return num2words(number, to="year").replace(",", "").replace("oh-", "oh ")


_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digits(number: str) -> str:
    """The digits, one by one."""
    return " ".join(_DIGITS[int(digit)] for digit in number)


def in_pairs(number: str) -> str:
    """A number of three or four digits in a name: "747" is "seven forty-seven", "101" is "one oh one"."""
    head, tail = number[:-2], number[-2:]
    if tail == "00" or head.startswith("0"):
        return cardinal(number)
    return f"{cardinal(head)} {cardinal(tail) if tail[0] != '0' else f'oh {digits(tail[1])}'}"


def plural(unit: str, number: str) -> str:
    """`unit` in singular or plural: one dollar, two dollars."""
    return unit if number == "1" else f"{unit}s"
