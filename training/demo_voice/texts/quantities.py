"""Numbers, times, dates, prices and phone numbers, some in digits and most spelled out, as people write them."""

from collections.abc import Callable
from random import Random

_ONES = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
)
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
DIGIT_SHARE = 0.3


def spell(number: int) -> str:
    """A whole number below a million in words.

    Raises:
        ValueError: the number is negative or too large.
    """
    if not 0 <= number < 1_000_000:
        raise ValueError(f"cannot spell {number}: it must lie between 0 and 999,999")
    if number < 20:
        return _ONES[number]
    if number < 100:
        rest = number % 10
        return _TENS[number // 10 - 2] + (f"-{_ONES[rest]}" if rest else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = number % unit
    tail = f" {'and ' if rest < 100 else ''}{spell(rest)}" if rest else ""
    return f"{spell(number // unit)} {name}{tail}"


def ordinal(number: int) -> str:
    """The ordinal of 1 to 99 in words."""
    if number <= 20:
        return _ORDINALS[number - 1]
    tens, rest = divmod(number, 10)
    return f"{_TENS[tens - 2]}-{_ORDINALS[rest - 1]}" if rest else _TENS[tens - 2][:-1] + "ieth"


def _written(rng: Random, number: int) -> str:
    return str(number) if rng.random() < DIGIT_SHARE else spell(number)


def _count(rng: Random) -> str:
    return _written(rng, rng.choice((rng.randint(2, 12), rng.randint(2, 30), rng.randint(13, 99))))


def _large(rng: Random) -> str:
    return _written(rng, rng.choice((rng.randint(100, 999), rng.randint(1, 9) * 100, rng.randint(10, 90) * 100)))


def _year(rng: Random) -> str:
    year = rng.randint(1920, 2029)
    if rng.random() < 0.5:
        return str(year)
    if 2000 <= year < 2010:
        return "two thousand" + (f" and {spell(year - 2000)}" if year > 2000 else "")
    rest = year % 100
    return f"{spell(year // 100)} " + ("hundred" if not rest else f"oh {spell(rest)}" if rest < 10 else spell(rest))


def _time(rng: Random) -> str:
    hour, minute = rng.randint(1, 12), rng.choice((0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55))
    kind = rng.random()
    if kind < 0.25:
        return f"{hour}:{minute:02d}"
    if kind < 0.5:
        return f"{spell(hour)} o'clock"
    if kind < 0.75:
        return spell(hour) + (f" {spell(minute)}" if minute >= 10 else "")
    part = rng.choice(("half past", "quarter to", "quarter past", "ten to", "twenty past", "five past"))
    return f"{part} {spell(hour)}"


def _date(rng: Random) -> str:
    day, month = rng.randint(1, 31), rng.choice(MONTHS)
    return rng.choice((f"{month} {day}", f"{month} {ordinal(day)}", f"the {ordinal(day)} of {month}"))


def _price(rng: Random) -> str:
    whole, currency = rng.randint(2, 99), rng.choice(("dollars", "euros", "pounds"))
    if rng.random() < 0.3 and currency != "pounds":
        return f"{spell(whole)} {currency} and {spell(rng.randint(2, 19) * 5)} cents"
    return f"{_written(rng, whole)} {currency}"


def _phone(rng: Random) -> str:
    digits = [rng.randint(0, 9) for _ in range(rng.choice((4, 7)))]
    if rng.random() < DIGIT_SHARE:
        return " ".join(str(digit) for digit in digits)
    words = ["oh" if digit == 0 and rng.random() < 0.5 else _ONES[digit] for digit in digits]
    return " ".join(words[:3]) + ("," if len(words) > 4 else "") + " " + " ".join(words[3:])


QUANTITIES: dict[str, Callable[[Random], str]] = {
    "count": _count,
    "large": _large,
    "ordinal": lambda rng: ordinal(rng.randint(1, rng.choice((10, 31, 99)))),
    "year": _year,
    "time": _time,
    "date": _date,
    "price": _price,
    "phone": _phone,
}
"""The function that generates each quantity slot."""
