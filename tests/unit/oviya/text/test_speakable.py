"""Text normalization for speech."""

from __future__ import annotations

import pytest

from oviya.text.speakable import speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        # numbers
        ("I have 3 cats and 1,234 books.", "I have three cats and one thousand two hundred and thirty-four books."),
        ("It is 3.14, or -5.", "It is three point one four, or minus five."),
        ("The 21st of 1/2, 3/4 and 2\u00bd", "The twenty-first of one half, three quarters and two and one half"),
        ("pages 3-7, a 4:3 screen", "pages three to seven, a four to three screen"),
        ("Version 1.2.3 and room 007", "Version one point two point three and room zero zero seven"),
        ("#1 of 10k", "number one of ten thousand"),
        ("2 + 2 = 4", "two plus two equals four"),
        ("Call 555-1234", "Call five five five, one two three four"),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
        ("MP3 and B2B", "MP three and B two B"),
        # dates and times
        ("on 2026-11-24", "on November twenty-fourth, twenty twenty-six"),
        ("on Nov. 3, 1999", "on November third, nineteen ninety-nine"),
        ("the 3rd of May", "May third"),
        ("24/12/2025 and 12/24/2025",
         "December twenty-fourth, twenty twenty-five and December twenty-fourth, twenty twenty-five"),
        ("in 1984 and the 1990s", "in nineteen eighty-four and the nineteen nineties"),
        ("1500 people in 2026", "one thousand five hundred people in twenty twenty-six"),
        ("at 14:30, 9:05 am or 7 pm", "at fourteen thirty, nine oh five a m or seven p m"),
        ("at 9:00", "at nine o'clock"),
        ("You may 5 times", "You may five times"),
        # money and units
        ("It costs $5.50.", "It costs five dollars and fifty cents."),
        ("$1, \u20ac3.5 million, 10\u20ac, \u00a30.99",
         "one dollar, three point five million euros, ten euros, ninety-nine pence"),
        ("22\u00b0C at 5 km/h, 50%", "twenty-two degrees Celsius at five kilometers per hour, fifty percent"),
        ("1.5-2.5 kg and 1 km", "one point five to two point five kilograms and one kilometer"),
        # addresses
        ("See https://www.example.com/docs/api/v1?q=1.", "See example dot com slash docs slash api."),
        ("Write to anna.b@example.com!", "Write to anna dot b at example dot com!"),
        ("openai.com", "openai dot com"),
        # markup
        ("**Bold**, *it*, ~~no~~ and `x`", "Bold, it, no and x"),
        ("# Title", "Title"),
        ("- one thing", "one thing"),
        ("2. Mix it", "Second, Mix it"),
        ("> quoted", "quoted"),
        ("| a | b |", "a, b"),
        ("[the docs](https://x.com/y) and ![a cat](cat.png)", "the docs and a cat"),
        ("<b>hi</b> &amp; bye", "hi and bye"),
        ("*smiles warmly* Hello (laughs)", "Hello"),
        ("(as I said) yes", "(as I said) yes"),
        # emoji and signs
        ("Well done! \U0001f389\U0001f44f", "Well done!"),
        ("I love it \u2764\ufe0f.", "I love it."),
        ("\U0001f600", "grinning face"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467 :)", "family man woman girl"),
        ("R&D, he/she, e.g. this \u2192 that", "R and D, he or she, for example, this, then that"),
        ("well \u2014 yes", "well, yes"),
        # nothing to say
        ("...", ""),
        ("---", ""),
        ("", ""),
        ("\u200b\u200b\x00", ""),
        # other languages pass
        ("Gr\u00fc\u00df Gott, \u4f60\u597d", "Gr\u00fc\u00df Gott, \u4f60\u597d"),
        ("I don't know \u2014 it's \u201cfine\u201d.", "I don't know, it's \u201cfine\u201d."),
    ],
)  # fmt: skip
def test_said(written, said):
    assert speakable(written) == said


def test_what_was_made_speakable_stays_as_it_is():
    said = speakable("On 2026-11-24 at 9:05, 3 kg cost $5.50; see example.com or 1/2 of [it](x).")
    assert speakable(said) == said
    assert not any(c.isdigit() for c in said)


@pytest.mark.parametrize(
    "hostile",
    ["1", "1,", "*", "[", "a@", "$", "1/2-", "1:1:", "<", "x.", "\U0001f600", "( laughs ", "1. ", "|", "-", "`"],
)
def test_text_of_one_character_takes_bounded_time(hostile):
    speakable(hostile * (5_000 // len(hostile)))
