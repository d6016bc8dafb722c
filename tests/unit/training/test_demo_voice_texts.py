"""The texts of the demo voice: many, different, balanced, and without the sentences that judge it."""

import pytest

from training.demo_voice.texts import generate, grammar, inflect, matching, quantities

COUNT = 60_000


@pytest.fixture(scope="module")
def made() -> list[str]:
    return generate.sentences(COUNT, seed=1)


def test_a_seed_settles_the_sentences(made: list[str]) -> None:
    assert generate.sentences(500, seed=1) == made[:500]
    assert generate.sentences(500, seed=2) != made[:500]


def test_sentences_differ_and_are_plain_text(made: list[str]) -> None:
    assert len(made) == len(set(made)) == COUNT
    assert all(sentence.isascii() and "{" not in sentence and "  " not in sentence for sentence in made)
    assert all(sentence[-1] in '.?!"' and not sentence.lstrip("\"'")[0].islower() for sentence in made)


def test_lengths_suit_conversation(made: list[str]) -> None:
    lengths = [len(sentence.split()) for sentence in made]
    assert max(map(len, made)) < 110
    assert 7 <= sum(lengths) / COUNT <= 9
    assert 0.09 <= sum(length <= 3 for length in lengths) / COUNT <= 0.15


def test_every_listed_word_is_heard_often(made: list[str]) -> None:
    counts, listed = generate.coverage(made), generate.listed_words()
    assert len(listed) >= 9_000
    assert {word: counts[word] for word in listed if counts[word] < 15} == {}


def test_lists_name_no_word_twice() -> None:
    for name, words in grammar.load().lists.items():
        assert len(words) == len(set(words)), f"words/{name}.txt repeats a word"


def test_held_out_sentences_are_not_trained_on(made: list[str]) -> None:
    held_out = grammar.held_out()
    assert len(set(held_out)) == 200
    assert all(4 <= len(sentence.split()) <= 16 and not any(map(str.isdigit, sentence)) for sentence in held_out)
    assert not set(held_out) & set(made)
    assert {sentence: matching.templates_of(sentence) for sentence in held_out if matching.templates_of(sentence)} == {}


def test_held_out_words_are_known(made: list[str]) -> None:
    counts = generate.coverage(made)
    words = [word.lower() for sentence in grammar.held_out() for word in generate.WORD.findall(sentence)]
    assert sum(counts[word] == 0 for word in words) <= 0.02 * len(words)


def test_matching_recognises_what_the_templates_make(made: list[str]) -> None:
    # Phrases of single words come from no template; every sentence of another shape must be found again.
    sentences = [sentence for sentence in made[:400] if len(sentence.split()) > 6][:15]
    assert all(matching.templates_of(sentence) for sentence in sentences)


@pytest.mark.parametrize(
    ("word", "form", "inflected"),
    [
        ("mouse", "s", "mice"),
        ("berry", "s", "berries"),
        ("potato", "s", "potatoes"),
        ("fisherman", "s", "fishermen"),
        ("stop", "ing", "stopping"),
        ("visit", "past", "visited"),
        ("admit", "past", "admitted"),
        ("write down", "done", "written down"),
        ("carry", "does", "carries"),
        ("happy", "er", "happier"),
        ("big", "est", "biggest"),
        ("beautiful", "er", "more beautiful"),
    ],
)
def test_words_are_inflected(word: str, form: str, inflected: str) -> None:
    assert inflect.inflect(word, form) == inflected


def test_articles_follow_the_sound() -> None:
    text = "a apple, an banana, a hour, an university, an one-way ticket, a umbrella, a honest man, an user"
    right = "an apple, a banana, an hour, a university, a one-way ticket, an umbrella, an honest man, a user"
    assert inflect.fix_articles(text) == right


def test_numbers_are_spelled_out() -> None:
    assert quantities.spell(0) == "zero"
    assert quantities.spell(942) == "nine hundred and forty-two"
    assert quantities.spell(1_308) == "one thousand three hundred and eight"
    assert quantities.ordinal(30) == "thirtieth"
    assert quantities.ordinal(72) == "seventy-second"
    with pytest.raises(ValueError, match="cannot spell"):
        quantities.spell(-1)
