"""Every regular expression of the project takes time that grows with its input alone, whatever the input is.

Patterns meet text from strangers on event loops that others wait for.  Each pattern that a module holds, and each one
that stands in a call of `re`, is run on 4 KB of every sign, and where that takes long, on 1 KB as well.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHARS = 4096
LIMIT_S = 0.002
"""CPU seconds of this thread, so that the load of the machine does not count.  A time below needs no closer look."""
GROWTH = 8
"""Four times the text takes a linear pattern four times as long, and a quadratic one sixteen times."""
ATTEMPTS = 5
"""The fastest attempt counts: caches are cold the first time."""
FLAGS_AT = {
    "compile": 1, "search": 2, "match": 2, "fullmatch": 2, "findall": 2, "finditer": 2, "split": 3, "sub": 4, "subn": 4,
}  # fmt: skip
"""The functions of `re` that take a pattern, and where their flags stand."""
SKIPPED = ("services.csm.device.gpu", "services.mimi.model.gpu", "services.emotion.voice.hub_voice", "__main__")
SIGNS = [
    *map(chr, range(33, 127)),
    *"\t\n \u00a0\u3000\u200b\ufeff",
    *"\u20ac\u00a3\u00a5\u00b0\u00b2\u00bd\u00d7\u00f7\u00b1\u2264\u2212\u2013\u2014\u2026\u2018\u2019\u201c\u201d\u00ab\u00bb\u00b7\u2022\u00e9\u00df",
    *"\u3001\u3002\uff01\uff1f\u300c\u300d\uff08\uff09\u3010\u3011\u300a\u300b\uff0c\uff1b\uff1a\uff5e\u30fb\u4f60\u3042\u30a2\uac00",
    *"\u0645\u061f\u060c\u061b\u06d4\u0905\u0964\u0965\u0301\u200d\ufe0f\U0001f44d\u2605",
]


def modules() -> Iterator[ModuleType]:
    for top in ("oviya", "services"):
        package = importlib.import_module(top)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{top}."):
            if not any(part in found.name for part in SKIPPED):
                try:
                    yield importlib.import_module(found.name)
                except ModuleNotFoundError as error:
                    if (error.name or "").startswith(("oviya", "services")):
                        raise


def patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[str]]:
    """The patterns that a value holds: itself, in containers, in objects of the project."""
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif isinstance(value, (list, tuple, set, frozenset)) and depth < 4:
        for item in value:
            yield from patterns_in(item, depth + 1)
    elif isinstance(value, dict) and depth < 4:
        for item in value.values():
            yield from patterns_in(item, depth + 1)


def inline_patterns(module: ModuleType) -> Iterator[tuple[re.Pattern[str], str]]:
    """The patterns in calls such as `re.sub("...", ...)`, as far as the module's own names say what they are.

    Each comes with the method that tries it as the call does: `re.match` and `re.fullmatch` try the start only.
    """
    if not module.__file__ or not module.__file__.endswith(".py"):
        return
    for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        function = node.func.attr
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and function in FLAGS_AT):
            continue
        flags = [word.value for word in node.keywords if word.arg == "flags"] or node.args[FLAGS_AT[function] :]
        try:
            source, *flag = (
                eval(compile(ast.Expression(value), "pattern", "eval"), dict(vars(module)))
                for value in (node.args[0], *flags[:1])
            )
        except NameError:
            continue  # built from what a caller gives; its result is a module's pattern or the caller's
        if isinstance(source, str):
            yield re.compile(source, *flag), function if function in ("match", "fullmatch") else "search"


def all_patterns() -> dict[str, tuple[re.Pattern[str], str]]:
    """Every pattern and the method of it that takes longest."""
    found: dict[str, tuple[re.Pattern[str], str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if not name.startswith("__"):
                for pattern in patterns_in(value):
                    found[f"{pattern.pattern}/{pattern.flags}"] = pattern, "search"
        for pattern, method in inline_patterns(module):
            name = f"{pattern.pattern}/{pattern.flags}"
            if method == "search" or name not in found:
                found[name] = pattern, method
    return found


PATTERNS = all_patterns()


def test_the_walk_finds_patterns_of_every_kind():
    sources = {pattern.pattern for pattern, _ in PATTERNS.values()}
    segmenter, markup = sys.modules["oviya.text.segmenter"], sys.modules["oviya.text.speakable.markup"]
    assert {segmenter._MARK.pattern, markup._TAG.pattern} <= sources
    assert len(PATTERNS) > 200


def hostile_texts(chars: int) -> Iterator[str]:
    for sign in SIGNS:
        yield sign * chars
        yield f"a{sign * (chars - 2)}b"
        if sign.isascii() and not sign.isalnum():
            yield f"{sign}1" * (chars // 2)


TEXTS = list(zip(hostile_texts(CHARS // 4), hostile_texts(CHARS), strict=True))


def spent_s(attempt: Callable[[str], object], text: str) -> float:
    started = time.thread_time()
    attempt(text)
    return time.thread_time() - started


def quadratic_on(pattern: re.Pattern[str], method: str = "search") -> str:
    """The first text whose time grows faster than its length; empty: none."""
    attempt = getattr(pattern, method)  # a search tries every place, so that it takes no less than a match
    for short, long in TEXTS:
        if spent_s(attempt, long) > LIMIT_S:
            spent = min(spent_s(attempt, long) for _ in range(ATTEMPTS))
            if spent > LIMIT_S and spent > GROWTH * min(spent_s(attempt, short) for _ in range(ATTEMPTS)):
                return long
    return ""


@pytest.mark.parametrize("name", PATTERNS, ids=[str(number) for number in range(len(PATTERNS))])
def test_pattern_is_linear(name):
    pattern, method = PATTERNS[name]
    text = quadratic_on(pattern, method)
    assert not text, f"{pattern.pattern!r} is not linear in the length of {text[:8]!r} ... {text[-3:]!r}"


@pytest.mark.parametrize("source", [r"\s+$", r"a+b", r"[a-z]+(-[a-z]+)+", r"\W*(?:so|now)\b", r"\(.*\)x", r"\d+\.\d+:"])
def test_a_quadratic_pattern_is_seen(source):
    assert quadratic_on(re.compile(source))
