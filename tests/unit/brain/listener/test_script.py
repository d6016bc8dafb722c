"""The pattern language, and the checks on the listener's data."""

from __future__ import annotations

import shutil

import pytest

from services.brain.listener.composer import combinations
from services.brain.listener.loader import ScriptError, load_script
from services.brain.listener.pattern import compile_pattern
from services.brain.listener.script import Frame
from services.brain.listener.utterance import UtteranceParser, sentence_key
from services.brain.tables import DATA

SETS = {"pet": ["dog", "guinea pig"], "empty": []}


@pytest.fixture(scope="module")
def script():
    return load_script()


@pytest.mark.parametrize(
    ("pattern", "segment", "slots"),
    [
        ("i feel {x}", "i feel very sad", {"x": "very sad"}),
        ("i feel {x}", "i feel", None),
        ("i feel {x}", "today i feel sad", None),
        ("* i feel {x}", "today i feel sad", {"x": "sad"}),
        ("(yes|of course) *", "of course i do", {}),
        ("i am [so|very] sad", "i am sad", {}),
        ("i am [so|very] sad", "i am so sad", {}),
        ("i am [so|very] sad", "i am too sad", None),
        ("my {r@pet} {x}", "my guinea pig is ill", {"r": "guinea pig", "x": "is ill"}),
        ("my {r@pet} {x}", "my cat is ill", None),
        ("@pet? hello", "hello", {}),
        ("@pet? hello", "dog hello", {}),
        ("* @pet", "i like the dog", {}),
        ("so", "sofa", None),
    ],
)
def test_patterns(pattern, segment, slots):
    assert compile_pattern(pattern, SETS).match(segment, set(segment.split())) == slots


@pytest.mark.parametrize("pattern", ["", "a (b", "{x} and {x}", "@nothing", "@empty", "(a|)", "{X}", "a } b"])
def test_a_malformed_pattern_is_quoted(pattern):
    with pytest.raises(ValueError, match="pattern") as refused:
        compile_pattern(pattern, SETS)
    assert pattern in str(refused.value)


def test_patterns_answer_quickly_on_the_longest_segment(script):
    segment = "i feel that i am so " * 12
    words = frozenset(segment.split())
    for rule in script.rules:
        for pattern in rule.patterns:
            pattern.match(segment.strip(), words)  # pytest's time-out would tell of a runaway expression


def test_phrases_are_spelled_as_the_reader_spells_them(script):
    """A phrase that normalisation changes ("cannot") would never be found."""
    parser = UtteranceParser((), (), {})
    phrases = [word for feeling in script.feelings.values() for word in feeling.words]
    phrases += [word for topic in script.topics for word in topic.words]
    phrases += [phrase for words in script.sets.values() for phrase in words]
    unreachable = {phrase for phrase in phrases if parser.read(phrase).segments != (phrase,)}
    assert unreachable == set()


def test_literal_words_of_patterns_are_spelled_as_the_reader_spells_them(script):
    parser = UtteranceParser((), (), {})
    patterns = [pattern for rule in script.rules for pattern in rule.patterns]
    patterns += [pattern for fact in script.facts for pattern in fact.patterns]
    words = {word for pattern in patterns for beginnings in pattern.required for word in beginnings}
    assert {word for word in words if parser.read(word).segments != (word,)} == set()


def test_no_word_belongs_to_two_feelings(script):
    seen: dict[str, str] = {}
    for feeling in script.feelings.values():
        for word in feeling.words:
            assert seen.setdefault(word, feeling.id) == feeling.id, word


def test_no_telephone_numbers(script):
    sentences = [sentence for pool in script.pools.values() for template in pool for sentence in template.sentences]
    sentences += [
        part for frames in script.frames.values() for frame in frames for _, parts in frame.parts for part in parts
    ]
    assert [sentence for sentence in sentences if any(letter.isdigit() for letter in sentence)] == []


def test_sentences_are_short_enough_to_be_spoken(script):
    for name, pool in script.pools.items():
        for template in pool:
            for sentence in template.sentences:
                assert len(sentence.split()) <= 30, (name, sentence)


def test_a_frame_gives_every_combination_once():
    frame = Frame("{a} {b}.", (("a", ("one", "two", "three")), ("b", ("four", "five"))))
    sentences = list(combinations(frame, start=7))
    assert len({sentence_key(sentence) for sentence in sentences}) == len(sentences) == 6
    assert all(sentence[0].isupper() for sentence in sentences)


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("rules/social.toml", 'id = "thanks"', 'id = "hello"', "'hello' is defined twice"),
        ("rules/social.toml", "patterns = [", "patern = [", "patern"),
        ("rules/social.toml", '"* @swear *"', '"* @swears *"', "swears"),
        ("rules/social.toml", '["say", "hello.ask"]', '["say", "hello.asks"]', "hello.asks"),
        ("rules/social.toml", '"Hello, I am Oviya."', '"Hello, I am {who}."', "who"),
        ("rules/social.toml", '"Hello, I am Oviya."', '"Hello. I am Oviya."', "one sentence"),
        ("rules/social.toml", '"Hello, I am Oviya."', '"Hello, I am Oviya"', "one sentence"),
        ("rules/social.toml", 'tone = "playful"', 'tone = "funny"', "funny"),
        ("rules/feelings.toml", 'contains = {x = "feeling"}', 'contains = {x = "feelin"}', "feelin"),
        ("rules/crisis.toml", 'family = "crisis"', 'family = "danger"', "family"),
        ("feelings.toml", 'negated = "fine"', 'negated = "great"', "great"),
        ("feelings.toml", 'mood = "heavy"', 'mood = "dark"', "mood"),
        ("feelings.toml", 'emotion = "melancholic"', 'emotion = "sad"', "sad"),
        ("pools.toml", '"mirror.heavy" = [', '"mirror.dark" = [', "mirror.heavy"),
        ("compose.toml", "[[crisis]]", "[[alarm]]", "families"),
        ("compose.toml", 'text = "{a}, {b}, {c}."', 'text = "{a}, {b}, {d}."', "'d'|unknown|missing"),
        ("facts.toml", '"* i study {x}"', '"* i study"', "x"),
        ("language.toml", "[sets]", "[sets", "language.toml"),
    ],
)
def test_invalid_data_is_refused_with_file_and_reason(tmp_path, file, old, new, complaint):
    folder = shutil.copytree(DATA, tmp_path / "data")
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ScriptError, match=complaint):
        load_script(folder)


def test_a_missing_file_is_named(tmp_path):
    folder = shutil.copytree(DATA, tmp_path / "data")
    (folder / "topics.toml").unlink()
    with pytest.raises(ScriptError, match=r"topics\.toml"):
        load_script(folder)
