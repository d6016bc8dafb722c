"""People are heard through the service with the weights that come with it: words, case, punctuation and times."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import pytest

from tests.support.human_speech import prompts, read_prompt
from tests.support.speech import silence, speak, word_error_rate
from tests.support.stt_calls import config, finals, pieces, transcribe
from tests.support.transcripts import normalized

LEAD_S, TAIL_S = 0.5, 2.0
MAX_ERROR_RATE = 0.08
SAID = prompts()[::10]
TOLERANCE = timedelta(seconds=0.3)
"""How far the times of words may lie outside the recording."""


async def hear(stub, speech, rate_hz=16_000):
    sound = np.concatenate((silence(LEAD_S, rate_hz), speech, silence(TAIL_S, rate_hz)))
    return await transcribe(stub, config(rate_hz), *pieces(sound, samples=rate_hz // 50))


def words_of(responses):
    """Returns the words of each final."""
    return [list(response.final.words) for response in responses if response.WhichOneof("event") == "final"]


async def test_a_person_is_heard(stub):
    heard = [await hear(stub, read_prompt(prompt.name)) for prompt in SAID]
    texts = [" ".join(finals(responses)) for responses in heard]
    assert len(SAID) == 16
    assert word_error_rate(texts, [prompt.text for prompt in SAID]) <= MAX_ERROR_RATE, texts
    assert sum(text[0].isupper() for text in texts) >= 12  # some prompts are parts of sentences
    assert sum(text[-1] in ".?!" for text in texts) >= 14
    for prompt, responses in zip(SAID, heard, strict=True):
        check_partials(responses)
        check_words(responses, timedelta(seconds=len(read_prompt(prompt.name)) / 16_000))


def check_partials(responses):
    """Text is only appended, up to the final."""
    published: dict[int, str] = {}
    for response in responses:
        kind = response.WhichOneof("event")
        if kind in ("partial", "likely_end", "final"):
            text = getattr(response, kind).text
            assert text.startswith(published.get(response.turn, ""))
            published[response.turn] = text


def check_words(responses, length):
    """Words are plain, in the order of their times, within the speech, and those of the text."""
    for text, words in zip(finals(responses), words_of(responses), strict=True):
        assert normalized(" ".join(word.text for word in words)) == normalized(text)
        assert all(re.fullmatch(r"\w(\S*\w)?|\w", word.text) and word.text == word.text.lower() for word in words)
        assert all(0 <= word.confidence <= 1 for word in words)
        assert np.mean([word.confidence for word in words]) > 0.5
        starts = [word.start.ToTimedelta() for word in words]
        ends = [word.end.ToTimedelta() for word in words]
        assert starts == sorted(starts)
        assert all(start <= end for start, end in zip(starts, ends, strict=True))
        assert starts[0] >= timedelta(seconds=LEAD_S) - TOLERANCE
        assert ends[-1] <= timedelta(seconds=LEAD_S) + length + TOLERANCE


@pytest.mark.parametrize(
    ("word", "voice"),
    # awb's "okay" is between "Okay" and "Go key" for tiny.en.
    [
        (word, voice)
        for word in ("yes", "no", "okay")
        for voice in ("slt", "rms", "awb")
        if (word, voice) != ("okay", "awb")
    ],
)
async def test_one_short_word_is_heard(stub, word, voice):
    [text] = finals(await hear(stub, speak(word, 16_000, voice)))
    assert normalized(text) == word


async def test_a_word_cut_from_a_persons_sentence_is_heard(stub):
    no = read_prompt("conf-noempty")[: round(0.42 * 16_000)]
    [text] = finals(await hear(stub, no))
    assert normalized(text) == "no"


@pytest.mark.parametrize("voice", ["slt", "rms", "awb"])
async def test_a_request_and_a_question_are_written_as_such(stub, voice):
    [story] = finals(await hear(stub, speak("tell me a story please", 16_000, voice)))
    assert normalized(story) == "tell me a story please"
    [weather] = finals(await hear(stub, speak("what's the weather like in Copenhagen", 16_000, voice)))
    assert re.fullmatch(r"what is (the|a) weather like in copenhagen", normalized(weather))
    assert weather.endswith("?")
    assert "Copenhagen" in weather
