"""Every regular expression of the project takes time that grows with its input alone, whatever the input is.

Patterns meet text from strangers on event loops that others wait for.  Each pattern that a module holds, and each one
that stands in a call of `re`, is run on 8 KB of every sign.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHARS = 8192
LIMIT_S = 0.05
"""CPU seconds.  A linear pattern takes some 0.1 ms, a quadratic one seconds."""
SKIPPED = ("services.csm.gpu", "services.mimi.gpu", "services.emotion.hub_voice", "__main__")
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


def inline_patterns(module: ModuleType) -> Iterator[re.Pattern[str]]:
    """The patterns in calls such as `re.sub("...", ...)`, as far as the module's own names say what they are."""
    if not module.__file__ or not module.__file__.endswith(".py"):
        return
    for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr != "escape"):
            continue
        try:
            source = eval(compile(ast.Expression(node.args[0]), "pattern", "eval"), dict(vars(module)))
        except NameError:
            continue  # built from what a caller gives; its result is a module's pattern or the caller's
        if isinstance(source, str):
            yield re.compile(source)


def all_patterns() -> dict[str, re.Pattern[str]]:
    found: dict[str, re.Pattern[str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if not name.startswith("__"):
                for pattern in patterns_in(value):
                    found.setdefault(f"{pattern.pattern}/{pattern.flags}", pattern)
        for pattern in inline_patterns(module):
            found.setdefault(f"{pattern.pattern}/{pattern.flags}", pattern)
    return found


PATTERNS = all_patterns()


def test_the_walk_finds_patterns_of_every_kind():
    sources = {pattern.pattern for pattern in PATTERNS.values()}
    segmenter, markup = sys.modules["oviya.text.segmenter"], sys.modules["oviya.text.speakable.markup"]
    assert {segmenter._MARK.pattern, markup._TAG.pattern} <= sources
    assert len(PATTERNS) > 200


def hostile_texts() -> Iterator[str]:
    for sign in SIGNS:
        yield sign * CHARS
        yield f"a{sign * (CHARS - 2)}b"
        if sign.isascii() and not sign.isalnum():
            yield f"{sign}1" * (CHARS // 2)


TEXTS = list(hostile_texts())


def spent_s(pattern: re.Pattern[str], text: str) -> float:
    started = time.process_time()
    pattern.search(text)
    return time.process_time() - started


@pytest.mark.parametrize("name", PATTERNS, ids=[str(number) for number in range(len(PATTERNS))])
def test_pattern_is_linear(name):
    pattern = PATTERNS[name]
    for text in TEXTS:  # a search tries every place, so that it takes no less than a match or a replacement
        if (spent := spent_s(pattern, text)) > LIMIT_S:
            spent = min(spent, *(spent_s(pattern, text) for _ in range(2)))
        assert spent < LIMIT_S, f"{pattern.pattern!r} takes {spent:.2f} s for {text[:8]!r} ... {text[-3:]!r}"
