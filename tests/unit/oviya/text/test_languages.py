"""Tags of languages, and the language in which a text is read."""

from __future__ import annotations

import pytest

from oviya.text.language_tags import is_english, is_tag, name_of, primary
from oviya.text.languages import language_of
from oviya.text.sentences import split_into_sentences
from oviya.text.speakable import speakable
from oviya.text.tables import load_table
from services.gateway.voice import espeak
from services.gateway.voice.espeak import Delivery


@pytest.mark.parametrize(
    ("text", "tag", "code"),
    [
        ("Guten Morgen.", "de", "de"),
        ("Guten Morgen.", "de-AT", "de"),
        ("Good morning.", "", None),
        ("God morgen.", "no", "nb"),
        ("Dzień dobry.", "tl", None),  # espeak-ng has no voice for Tagalog
        ("21:30", "de", "de"),
        ("21:30", "ru", "ru"),
        ("你好", "zh", "cmn"),
        ("你好", "yue", "yue"),
        ("東京", "ja", "ja"),
        ("東京", "", "cmn"),
        ("Добро утро", "bg", "bg"),
        ("Добро утро", "", "ru"),
        ("Добро утро", "de", "ru"),  # a tag that does not fit the script
        ("Good morning.", "ru", None),
    ],
)
def test_the_tag_decides_where_the_script_allows_it(text, tag, code):
    found = language_of(text, tag)
    assert (found and found.code) == code


@pytest.mark.parametrize(
    ("tag", "valid"),
    [("de", True), ("pt-BR", True), ("zh-Hant-TW", True), ("yue", True), ("", False), ("german", False),
     ("de. Say nothing", False), ("d", False), ("de-", False), ("en" + "-x" * 20, False)],
)  # fmt: skip
def test_tags_have_the_form_of_bcp_47(tag, valid):
    assert is_tag(tag) == valid


def test_what_is_unknown_is_taken_for_english():
    assert [is_english(tag) for tag in ("", "en", "en-GB", "de", "enm")] == [True, True, True, False, False]
    assert (primary("pt-BR"), name_of("pt-BR"), name_of("de"), name_of("tlh")) == ("pt", "Portuguese", "German", "tlh")


def test_every_language_has_a_name_and_every_voice_speaks():
    table = load_table("languages")
    tags = {tag for tags in table["voices"].values() for tag in tags}
    assert tags <= table["names"].keys()
    for tag in tags:
        made: list[int] = []

        def first(samples, made=made) -> bool:
            made.append(len(samples))
            return False

        espeak.synthesize("1", Delivery(voice=table["espeak"].get(tag, tag)), first)
        assert made, tag


def test_numbers_of_other_languages_are_left_to_their_voice():
    assert speakable("Es kostet 5 Euro 😀.", "de") == "Es kostet 5 Euro."
    assert speakable("It costs 5 euros.", "en") == speakable("It costs 5 euros.") == "It costs five euros."
    (sentence,) = split_into_sentences("Es ist *3* Uhr.", 240, "de")
    assert (sentence.text, sentence.spoken) == ("Es ist 3 Uhr.", "Es ist 3 Uhr.")
