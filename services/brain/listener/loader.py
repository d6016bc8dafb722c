"""Loads and validates the listener's data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from oviya.emotions.tables import MOODS, load_tone_policy
from services.brain.emotions import EMOTIONS
from services.brain.listener.pattern import compile_pattern
from services.brain.listener.script import (
    SESSION_SLOTS,
    SLOT,
    WEIGHTS,
    Fact,
    Feeling,
    Frame,
    Pool,
    Rule,
    Script,
    Shape,
    Template,
    Topic,
)
from services.brain.tables import DATA

FAMILIES = (*MOODS, "crisis", "self")
"""Families of frames that compose.toml must have."""

_SENTENCE = re.compile(r"(?<![^.?!])[^.?!]++[.?!]")
_PARTS_OF_A_FEELING = ("mirror", "comfort", "offer", "ask")
_PARTS_OF_A_TOPIC = ("say", "ask")
_RULE_KEYS = {
    "id", "priority", "patterns", "after", "contains", "lacks", "same", "needs", "say", "shapes", "state", "feeling",
    "tone", "firm", "family", "weight",
}  # fmt: skip


class ScriptError(ValueError):
    """The listener's data is not valid; the message names the file, the entry and the error."""


def load_script(folder: Path = DATA) -> Script:
    """Loads every table under `folder`.

    Raises:
        ScriptError: a file is missing or malformed, or an entry is not valid.
    """
    language = _read(folder / "language.toml")
    feelings = _feelings(folder / "feelings.toml")
    topics = _topics(folder / "topics.toml")
    sets = {name: frozenset(words) for name, words in language["sets"].items()}
    sets["feeling"] = frozenset(word for feeling in feelings.values() for word in feeling.words)
    sets |= {f"feeling.{feeling.id}": frozenset(feeling.words) for feeling in feelings.values()}
    tones = load_tone_policy(EMOTIONS)
    for feeling in feelings.values():
        if feeling.emotion not in EMOTIONS:
            raise ScriptError(f"feelings.toml {feeling.id}: unknown emotion {feeling.emotion!r}")
    pools: dict[str, Pool] = {}
    for name, sentences in _read(folder / "pools.toml").items():
        pools[name] = _pool(sentences, SESSION_SLOTS, f"pools.toml [{name}]")
    for kind, file, parts in (
        ("feeling", "feelings.toml", _PARTS_OF_A_FEELING),
        ("topic", "topics.toml", _PARTS_OF_A_TOPIC),
    ):
        for entry in _read(folder / file)[kind]:
            for part in parts:
                where = f"{file} {entry['id']}.{part}"
                pools[f"{kind}.{entry['id']}.{part}"] = _pool(entry.get(part, []), SESSION_SLOTS, where)
    rules: dict[str, Rule] = {}
    for path in sorted((folder / "rules").glob("*.toml")):
        file = _only(_read(path), {"rule", "pools", "weight"}, path.name, {"rule", "weight"})
        for name, sentences in file.get("pools", {}).items():
            pools[name] = _pool(sentences, SESSION_SLOTS, f"{path.name} [pools] {name}")
        for table in file["rule"]:
            rule, pool = _rule({"weight": file["weight"], **table}, path.name, sets, feelings)
            if rule.id in rules:
                raise ScriptError(f"{path.name}: rule {rule.id!r} is defined twice")
            rules[rule.id], pools[f"rule.{rule.id}"] = rule, pool
    _check_shapes(rules.values(), pools)
    return Script(
        fillers=tuple(language["fillers"]),
        greetings=tuple(language["greetings"]),
        emoji=language["emoji"],
        proper=frozenset(language["proper"]),
        sets=sets,
        rules=tuple(sorted(rules.values(), key=lambda rule: -rule.priority)),
        feelings=feelings,
        topics=topics,
        facts=tuple(_facts(folder / "facts.toml", sets)),
        pools=pools,
        tones=tones,
        frames=_frames(folder / "compose.toml"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ScriptError(f"{path.name}: {error}") from error


def _only(
    table: dict[str, Any], keys: Collection[str], where: str, required: Collection[str] | None = None
) -> dict[str, Any]:
    if strange := sorted(set(table) - set(keys)):
        raise ScriptError(f"{where}: unknown keys {strange}")
    if missing := sorted(set(keys if required is None else required) - set(table)):
        raise ScriptError(f"{where}: missing keys {missing}")
    return table


def _feelings(path: Path) -> dict[str, Feeling]:
    feelings: dict[str, Feeling] = {}
    own = {"id", "noun", "emotion", "mood", "words"}
    for table in _read(path)["feeling"]:
        where = f"{path.name} {table.get('id')}"
        _only(table, own | {"negated", "after_loss", *_PARTS_OF_A_FEELING}, where, own)
        if table["mood"] not in MOODS:
            raise ScriptError(f"{where}: mood must be one of {MOODS}")
        feelings[table["id"]] = Feeling(
            id=table["id"], noun=table["noun"], emotion=table["emotion"], mood=table["mood"],
            words=tuple(table["words"]), negated=table.get("negated", ""), after_loss=table.get("after_loss", ""),
        )  # fmt: skip
    for feeling in feelings.values():
        if strange := {feeling.negated, feeling.after_loss} - {"", *feelings}:
            raise ScriptError(f"{path.name} {feeling.id}: negated or after_loss is not a feeling: {sorted(strange)}")
    return feelings


def _topics(path: Path) -> tuple[Topic, ...]:
    own = {"id", "about", "words"}
    tables = [_only(t, own | set(_PARTS_OF_A_TOPIC), f"{path.name} {t.get('id')}", own) for t in _read(path)["topic"]]
    return tuple(Topic(table["id"], table["about"], tuple(table["words"])) for table in tables)


def _pool(entries: Iterable[str | list[str]], slots: Collection[str], where: str) -> Pool:
    pool: list[Template] = []
    for entry in entries:
        sentences = (entry,) if isinstance(entry, str) else tuple(entry)
        for sentence in sentences:
            if not _SENTENCE.fullmatch(sentence):
                raise ScriptError(f"{where}: {sentence!r} is not one sentence that ends with . ? or !")
        used = frozenset(slot for sentence in sentences for slot in SLOT.findall(sentence))
        if strange := sorted(used - set(slots)):
            raise ScriptError(f"{where}: {sentences[0]!r} uses unknown slots: {strange}")
        template = Template(sentences, used)
        if template in pool:
            raise ScriptError(f"{where}: {sentences[0]!r} is defined twice")
        pool.append(template)
    return tuple(pool)


def _rule(
    table: dict[str, Any],
    file: str,
    sets: Mapping[str, Collection[str]],
    feelings: Collection[str],
) -> tuple[Rule, Pool]:
    where = f"{file} rule {table.get('id')!r}"
    _only(table, _RULE_KEYS, where, {"id", "priority", "patterns"})
    try:
        patterns = tuple(compile_pattern(source, sets) for source in table["patterns"])
        after = tuple(compile_pattern(source, sets) for source in table.get("after", []))
    except ValueError as error:
        raise ScriptError(f"{where}: {error}") from error
    slots = frozenset(slot for pattern in patterns for slot in pattern.slots)
    for key in ("contains", "lacks"):
        for slot, set_name in table.get(key, {}).items():
            if slot not in slots or set_name not in sets:
                raise ScriptError(
                    f"{where}: {key} needs a slot of its patterns and a word set, not {slot!r}, {set_name!r}"
                )
    if strange := sorted({*table.get("needs", []), *table.get("same", {}).values()} - SESSION_SLOTS):
        raise ScriptError(f"{where}: needs the unknown slots {strange}")
    if table.get("feeling", "") and table["feeling"] not in feelings:
        raise ScriptError(f"{where}: {table['feeling']!r} is not a feeling")
    if table.get("tone", "") and table["tone"] not in EMOTIONS:
        raise ScriptError(f"{where}: {table['tone']!r} is not an emotion")
    if table["weight"] not in WEIGHTS:
        raise ScriptError(f"{where}: weight must be one of {WEIGHTS}")
    if table.get("family", "") not in ("", *FAMILIES):
        raise ScriptError(f"{where}: family must be one of {FAMILIES}")
    rule = Rule(
        id=table["id"], priority=table["priority"], patterns=patterns, after=after,
        contains=table.get("contains", {}), lacks=table.get("lacks", {}), same=table.get("same", {}),
        needs=frozenset(table.get("needs", [])), shapes=_shapes(table), state=table.get("state", ""),
        feeling=table.get("feeling", ""), tone=table.get("tone", ""), firm=table.get("firm", False),
        family=table.get("family", ""), weight=WEIGHTS.index(table["weight"]),
    )  # fmt: skip
    return rule, _pool(table.get("say", []), slots | SESSION_SLOTS, where)


def _shapes(table: dict[str, Any]) -> tuple[Shape, ...]:
    own = f"rule.{table['id']}"
    return tuple(
        tuple(tuple(own if name == "say" else name for name in choice.split("|")) for choice in shape)
        for shape in table.get("shapes", [["say"]])
    )


def _check_shapes(rules: Iterable[Rule], pools: Mapping[str, Pool]) -> None:
    # "feeling.ask" is the pool of the feeling that was found, "topic.ask" that of the topic.
    known = {
        *pools,
        *(f"feeling.{part}" for part in _PARTS_OF_A_FEELING),
        *(f"topic.{part}" for part in _PARTS_OF_A_TOPIC),
    }
    known |= {f"{kind}.mood" for kind in ("mirror", "comfort", "ask")}
    for rule in rules:
        used = {name for shape in rule.shapes for choice in shape for name in choice}
        if strange := sorted(used - known):
            raise ScriptError(f"rule {rule.id!r}: unknown pools {strange}")
    for kind in ("mirror", "comfort", "ask"):
        if missing := [f"{kind}.{mood}" for mood in MOODS if f"{kind}.{mood}" not in pools]:
            raise ScriptError(f"pools.toml: missing {missing}")


def _facts(path: Path, sets: Mapping[str, Collection[str]]) -> Iterable[Fact]:
    for table in _read(path)["fact"]:
        where = f"{path.name} {table.get('kind')}"
        _only(table, {"kind", "patterns", "form"}, where)
        try:
            patterns = tuple(compile_pattern(source, sets) for source in table["patterns"])
        except ValueError as error:
            raise ScriptError(f"{where}: {error}") from error
        if any("x" not in pattern.slots for pattern in patterns):
            raise ScriptError(f"{where}: every pattern needs the slot {{x}}")
        yield Fact(table["kind"], patterns, table["form"])


def _frames(path: Path) -> dict[str, tuple[Frame, ...]]:
    tables = _read(path)
    if set(tables) != set(FAMILIES):
        raise ScriptError(f"{path.name}: must have exactly the families {FAMILIES}")
    return {family: tuple(_frame(entry, f"{path.name} [{family}]") for entry in tables[family]) for family in tables}


def _frame(table: dict[str, Any], where: str) -> Frame:
    text = table["text"]
    slots = SLOT.findall(text)
    _only(table, {"text", *slots}, where)
    if not _SENTENCE.fullmatch(text) or len(set(slots)) != len(slots) or not all(table[slot] for slot in slots):
        raise ScriptError(f"{where}: {text!r} must be one sentence, each of its slots once and with a list")
    return Frame(text, tuple((slot, tuple(table[slot])) for slot in slots))
