"""Verbalizes formulas in LaTeX."""

from __future__ import annotations

import re

from oviya.text.tables import inverted, load_table

_TABLES = load_table("latex")
_COMMANDS = inverted(_TABLES["commands"])
_GREEK = frozenset(_TABLES["greek"])
_DELIMITED = re.compile(
    r"\\\(((?:[^\\]|\\(?!\)))*+)\\\)|\\\[((?:[^\\]|\\(?!\]))*+)\\\]|\$\$([^$]++)\$\$"
    r"|(?<![\w$\\])\$(?![\s$])([^$\n]{1,200})(?<!\s)\$(?![\w$])"
)
_FORMULA = re.compile(r"[A-Za-z0-9+\-*/=<>().,^_{}\\|!' ]+")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]{1,120})\}\s?\{([^{}]{1,120})\}")
_ROOT = re.compile(r"\\sqrt\s?(?:\[(\d{1,2})\])?\{([^{}]{1,120})\}")
_COMMAND = re.compile(r"\\([A-Za-z]{1,20})")
_POWER = re.compile(r"\^\s?(?:\{([^{}]{1,60})\}|(\w))")
_INDEX = re.compile(r"(?<=\w)_(?:\{([^{}]{1,60})\}|(\w)(?!\w))")
_NEAR = re.compile(
    r"\\(?:d?frac|sqrt|times|cdot|leq?|geq?|neq?|pm|div|approx|infty|sum|int|text|boxed|[a-z]*theta|pi)\b"
)
_POWERS = {"2": " squared", "3": " cubed", "n": " to the n"}


def say_formulas(text: str) -> str:
    """Replaces LaTeX formulas and commands by words and plain signs."""
    if "\\" not in text and "$" not in text:
        return text
    text = _DELIMITED.sub(_delimited, text)
    return _formula(text) if _NEAR.search(text) else text


def _delimited(at: re.Match[str]) -> str:
    content = next(group for group in at.groups() if group is not None)
    if at[4] is not None and not _is_formula(content):
        return at[0]
    return f" {_formula(content).strip()} "


def _is_formula(content: str) -> bool:
    """Whether a text between two dollar signs is a formula, not the text between two prices."""
    if not _FORMULA.fullmatch(content):
        return False
    if any(sign in content for sign in "\\^_{}"):
        return True
    return (len(content) == 1 and content.isalpha()) or ("=" in content and any(map(str.isalpha, content)))


def _formula(text: str) -> str:
    for _ in range(3):  # nested ones
        text = _FRACTION.sub(lambda at: f" {at[1]} over {at[2]} ", text)
        text = _ROOT.sub(lambda at: f" the {_root(at[1])} of {at[2]} ", text)
    text = _COMMAND.sub(_command, text)
    text = _POWER.sub(lambda at: _power((at[1] or at[2]).strip()), text)
    text = _INDEX.sub(lambda at: f" sub {at[1] or at[2]}", text)
    return text.replace("{", "").replace("}", "").replace("\\,", " ").replace("\\;", " ").replace("\\!", "")


def _root(degree: str | None) -> str:
    return {None: "square root", "2": "square root", "3": "cube root"}.get(degree, f"{degree}th root")


def _power(exponent: str) -> str:
    return _POWERS.get(exponent, f" to the power of {exponent}")


def _command(at: re.Match[str]) -> str:
    name = at[1]
    if name.lower() in _GREEK:
        return f" {name.removeprefix('var').lower()} "
    return _COMMANDS.get(name, at[0])
