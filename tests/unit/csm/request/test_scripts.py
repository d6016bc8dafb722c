"""Scripts and letters: what a checkpoint refuses, and what its tokenizer gets of letters that it cannot write."""

from __future__ import annotations

from pathlib import Path

import pytest

from oviya.errors import InvalidInput
from oviya.model.checkpoint import ModelCard, read_card, write_card
from oviya.text.languages import language_of
from oviya.text.scripts import main_script, romanized
from services.csm.model.config import CsmConfig
from services.csm.request.limits import Limits, check_text
from services.csm.request.tokenizer import TextTokenizer

DEMO = Path(__file__).parents[4] / "models" / "demo-csm"


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(DEMO, CsmConfig.load(DEMO))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("S\u00f8ren met \u0141ukasz in Stra\u00dfburg.", "soren met lukasz in strassburg."),
        ("\u0153uvre, \u00c6on, \u0111\u00f3", "oeuvre, aeon, do"),
        ("na\u00efve caf\u00e9", "naive cafe"),
        ("S\u00f8ren e\u0301t\u00e9", "soren ete"),
        ("plain", "plain"),
    ],
)
def test_letters_that_the_tokenizer_would_drop_are_transliterated(tokenizer, text, read):
    written = tokenizer.encode_segment("", 0)
    ids = tokenizer.encode_segment(text, 0)[len(written) - 1 : -1]
    assert tokenizer._tokenizer.decode(ids) == read


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("Hello", "Latin", None), ("\u4f60\u597d", "Han", "cmn"), ("\u3053\u3093\u306b\u3061\u306f\u4e16\u754c",
        "Kana", "ja"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442", "Cyrillic", "ru"), ("\u041a\u0438\u0457\u0432", "Cyrillic", "uk"),
        ("\u0645\u0631\u062d\u0628\u0627", "Arabic", "ar"), ("\u0928\u092e\u0938\u094d\u0924\u0947", "Devanagari",
        "hi"),
        ("\uc548\ub155", "Hangul", "ko"), ("\u0393\u03b5\u03b9\u03ac", "Greek", "el"), ("\u05e9\u05dc\u05d5\u05dd",
        "Hebrew", "he"),
        ("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "Thai", "th"), ("123 ?!", "", None), ("5 \u03bcm of \u03c0",
        "Latin", None),
        ("Say \u4f60\u597d to her", "Latin", None),
    ],
)  # fmt: skip
def test_script_and_language_of_a_text(text, script, language):
    found = language_of(text)
    assert main_script(text) == script
    assert (found and found.code) == language


def test_other_scripts_are_refused_where_the_card_excludes_them():
    text = "\u4f60\u597d\uff0c\u4e16\u754c\u3002"
    with pytest.raises(InvalidInput) as caught:
        check_text(text, Limits(), ("Latin",))
    assert (caught.value.field, caught.value.value) == ("text", "Han script")
    assert "Latin" in caught.value.limit
    check_text(text, Limits(), ("Latin", "Han"))
    check_text(text, Limits())
    check_text("Say \u4f60\u597d to her, S\u00f8ren.", Limits(), ("Latin",))
    check_text("4821", Limits(), ("Latin",))
    assert romanized("Say \u4f60\u597d to S\u00f8ren") == "Say NiHao to S\u00f8ren"


def test_the_demo_voice_says_what_it_speaks_and_cards_keep_it(tmp_path):
    card = read_card(DEMO)
    assert (card.languages, card.scripts) == (("en",), ("Latin",))
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card
    assert (ModelCard("x").languages, ModelCard("x").scripts) == ((), ())
