"""What the gateway's speech is made of: sentences, pacing, output formats."""

from __future__ import annotations

import asyncio
import itertools
import time

import numpy as np
import pytest

from oviya.audio.pcm import F32LE, decode_pcm
from oviya.text.sentences import is_speakable, split_long, split_sentences
from oviya.v1 import common_pb2
from services.gateway.output import PIECE_S, Output
from services.gateway.pacing import Pacer


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello.", ["Hello."]),
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("Dr. Smith met Mrs. Jones. They talked.", ["Dr. Smith met Mrs. Jones.", "They talked."]),
        ("It costs 3.50 or 1,000.25 today. Yes.", ["It costs 3.50 or 1,000.25 today.", "Yes."]),
        ("J. R. R. Tolkien wrote. I read.", ["J. R. R. Tolkien wrote.", "I read."]),
        ("So do I. Then we agree.", ["So do I.", "Then we agree."]),
        ("Bring fruit, e.g. apples. Thanks.", ["Bring fruit, e.g. apples.", "Thanks."]),
        ("No. It is No. 5 in the list.", ["No.", "It is No. 5 in the list."]),
        ("Wait... what? Oh… well.", ["Wait... what?", "Oh… well."]),
        ('"Really?" he asked. "Yes!" "Good."', ['"Really?" he asked.', '"Yes!"', '"Good."']),
        ("One line\nstill the same. Next", ["One line still the same.", "Next"]),
        ("A title\n\nA text.", ["A title", "A text."]),
        ("See example.com for v1.2.3 now.", ["See example.com for v1.2.3 now."]),
        ("What?! No!!! Yes.", ["What?!", "No!!!", "Yes."]),
        ("!!! ... ??", []),
        ("Hm. --- ***", ["Hm."]),
        ("今日は。元気ですか？はい", ["今日は。", "元気ですか？", "はい"]),  # noqa: RUF001
        ("a\x00b\x1b[31m c\u200bd\ufeff.", ["ab[31m cd."]),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    assert split_sentences(text, 200) == sentences


def test_long_sentences_are_cut_at_clauses_then_words_then_anywhere():
    clause = "when the rain had stopped and the sun came out again, " * 4
    pieces = split_sentences(clause.strip(), 120)
    assert all(piece.endswith(",") for piece in pieces)
    assert " ".join(pieces) == clause.strip()
    assert split_long("word " * 10, 12) == ["word word"] * 5
    assert split_long("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert split_long("aaaa, bbbb cccc dddd", 12) == ["aaaa, bbbb", "cccc dddd"]


def test_nothing_is_lost_and_nothing_is_too_long():
    rng = np.random.default_rng(5)
    alphabet = [*"ab .,!?\n-;'\"3", "Dr. ", "e.g. ", "… "]
    for _ in range(300):
        text = "".join(rng.choice(alphabet, rng.integers(0, 200)))
        pieces = split_sentences(text, 40)
        assert all(0 < len(piece) <= 40 for piece in pieces)
        assert all(is_speakable(piece) for piece in pieces)
        letters = [character for character in "".join(pieces) if character.isalnum()]
        assert letters == [character for character in text if character.isalnum()]


def test_time_grows_with_the_length_alone():
    """Foreign text is split on the event loop: ten times the text must not take a hundred times as long."""

    def cpu_s(sentences: int) -> float:
        text = "A sentence with some words, and a clause. " * sentences
        started = time.process_time()
        assert len(split_sentences(text, 240)) == sentences
        return time.process_time() - started

    short, long = min(cpu_s(2_000) for _ in range(3)), cpu_s(20_000)
    assert long < 40 * short


async def test_pacer_holds_back_what_is_too_far_ahead():
    loop = asyncio.get_running_loop()
    pacer = Pacer(0.2)
    started = loop.time()
    for _ in range(5):
        await pacer.pace(0.1)  # 0.5 s of sound, 0.2 s ahead: the last is sent at 0.3 s
    assert 0.29 <= loop.time() - started < 0.6


async def test_pacer_starts_anew_after_a_pause_and_zero_holds_nothing_back():
    loop = asyncio.get_running_loop()
    pacer = Pacer(0.1)
    await pacer.pace(0.1)
    await asyncio.sleep(0.2)  # what was sent has been played
    started = loop.time()
    await pacer.pace(0.1)
    free = Pacer(0.0)
    for _ in range(1000):
        await free.pace(10.0)
    assert loop.time() - started < 0.05


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 24_000, 48_000])
def test_output_keeps_the_sound_whatever_the_pieces(rate_hz):
    times = np.arange(24_000) / 24_000
    sound = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    audio_format = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=rate_hz)
    wholes = []
    for step in (24_000, 1920, 77):
        output = Output(audio_format)
        pushed = [output.push(sound[start : start + step]) for start in range(0, len(sound), step)]
        messages = list(itertools.chain(*pushed, output.flush()))
        assert all(length_s <= PIECE_S + 1 / rate_hz for _, length_s in messages)
        samples = [decode_pcm(audio.pcm, F32LE) for audio, _ in messages]
        assert sum(length_s for _, length_s in messages) == pytest.approx(1.0, abs=0.001)
        wholes.append(np.concatenate(samples))
    assert np.allclose(wholes[0], wholes[1], atol=1e-6)
    assert np.allclose(wholes[0], wholes[2], atol=1e-6)
    middle = wholes[0][rate_hz // 4 : rate_hz * 3 // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)
