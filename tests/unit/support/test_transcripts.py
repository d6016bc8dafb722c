"""Ways of writing the same words do not count as errors; other words do."""

from __future__ import annotations

import pytest

from tests.support.human_speech import prompts, read_prompt
from tests.support.speech import word_error_rate
from tests.support.transcripts import normalized


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Hello, World!", "hello world"),
        ("I'm sorry, that\u2019s wrong.", "i am sorry that is wrong"),
        ("They won't, can't, cannot, and shouldn't.", "they will not can not can not and should not"),
        ("Let's go; we've said you'd come.", "let us go we have said you would come"),
        ("The user's mail box", "the users mailbox"),
        ("Press 1 or 21.", "press one or twenty one"),
        ("1,250 people", "one thousand two hundred fifty people"),
        ("the 21st of May", "the twenty first of may"),
        ("2.5%", "two point five percent"),
        ("a file-name; re-enter it", "a filename reenter it"),
        ("M-I-S-D-N and a P.B.X. or PBX", "misdn and a pbx or pbx"),
        ("what should I do when a I feel", "what should i do when a i feel"),
        ("OK, stop", "okay stop"),
        (" ... ", ""),
    ],
)
def test_normalized(written: str, words: str) -> None:
    assert normalized(written) == words
    assert normalized(words) == words


def test_both_sides_are_treated_alike() -> None:
    assert word_error_rate(["I'm at 1 Main Street."], ["i am at one main street"]) == 0
    assert word_error_rate(["i am at one main street"], ["I'm at 1 Main Street."]) == 0
    assert word_error_rate(["I am at two."], ["i am at one"]) == pytest.approx(1 / 4)


def test_every_prompt_is_installed_and_has_words() -> None:
    assert len(prompts()) == len({prompt.name for prompt in prompts()}) == 155
    for prompt in prompts():
        assert prompt.text == prompt.text.lower().strip() != ""
        seconds = len(read_prompt(prompt.name)) / 16_000
        assert 2 < len(prompt.text) / seconds < 30, "letters a second, as people speak"


def test_a_missing_recording_names_the_package() -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install asterisk-core-sounds-en-g722"):
        read_prompt("no-such-prompt")
