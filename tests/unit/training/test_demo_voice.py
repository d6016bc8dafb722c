"""The checkpoints that ship: they are understood, they end, they fit transformers, and they are small."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from benchmarks.demo_voice import HELD_OUT_TEXTS
from benchmarks.demo_voice_measures import recognize
from oviya.emotions.tables import load_emotions
from oviya.model.checkpoint import shipped_checkpoint
from services.csm.checkpoint import Checkpoint, load_checkpoint
from services.csm.engine.engine import CsmEngine, EngineOptions
from services.csm.request.request import FinishReason, GenerateRequest
from services.mimi.checkpoint import load_checkpoint as load_mimi
from services.mimi.engine.engine import MimiEngine
from tests.support.checkpoints.csm import load_reference
from tests.support.speech import word_error_rate
from training.demo_voice.voices import SPEAKERS

torch.set_num_threads(1)
CSM, MIMI = shipped_checkpoint("demo-csm"), shipped_checkpoint("demo-mimi")
SENTENCES = 10
MOST_WORD_ERRORS_PERCENT = 12.0
"""Of the ten, as Whisper tiny.en hears them; of a hundred sentences it gets 3 % wrong."""
MOST_MB = 36.0


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(CSM, device="cpu")


@pytest.fixture(scope="module")
def engine(checkpoint: Checkpoint) -> Iterator[CsmEngine]:
    engine = CsmEngine(checkpoint, EngineOptions(slots=1))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def mimi() -> Iterator[MimiEngine]:
    with MimiEngine(load_mimi(MIMI, torch.device("cpu"))) as engine:
        yield engine


def speak(engine: CsmEngine, text: str, **fields: object) -> tuple[NDArray[np.int64], FinishReason]:
    """The codes (T, Q) of a text as the gateway asks for it, and how they ended."""

    async def run() -> tuple[NDArray[np.int64], FinishReason]:
        asked = {"style": "neutral", "reference_clip": "neutral", "lead_s": 0.0, "seed": 1} | fields
        async with engine.generate(GenerateRequest(text=text, **asked)) as frames:  # type: ignore[arg-type]
            codes = [codes async for codes in frames]
        assert frames.end is not None
        return np.concatenate(codes), frames.end.reason

    return asyncio.run(run())


def test_ten_new_sentences_are_understood_and_end(engine: CsmEngine, mimi: MimiEngine):
    texts = HELD_OUT_TEXTS.read_text().splitlines()[:SENTENCES]
    heard = []
    for number, text in enumerate(texts):
        codes, reason = speak(engine, text, speaker=number % len(SPEAKERS))
        assert reason is FinishReason.END_FRAME, text
        with mimi.open_decoder() as stream:
            heard.append(recognize(stream.decode(codes).result()))
    assert 100 * word_error_rate(heard, texts) <= MOST_WORD_ERRORS_PERCENT


def test_each_voice_has_a_clip_in_each_style_of_the_emotions(checkpoint: Checkpoint):
    styles = {emotion.style for emotion in load_emotions().values()}
    assert styles <= set(checkpoint.card.styles)
    assert styles <= set(checkpoint.voices.clips)
    for style in styles:
        assert set(checkpoint.voices.clips[style]) == set(checkpoint.voices.speakers) == set(SPEAKERS)


def test_transformers_draws_the_same_codes(checkpoint: Checkpoint, engine: CsmEngine):
    """Greedy, so that no random number is needed; the first second."""
    text, speaker, style, frames = "You can always ask me again.", 2, "joy", 12
    ours, _ = speak(engine, text, speaker=speaker, style=style, temperature=0.0, max_frames=frames, reference_clip="")
    prompt = checkpoint.tokenizer.encode_segment(text, speaker, style)
    np.testing.assert_array_equal(ours, load_reference(CSM).greedy(prompt, None, [], frames))


def test_transformers_decodes_the_same_sound(engine: CsmEngine, mimi: MimiEngine):
    theirs = transformers.MimiModel.from_pretrained(MIMI, dtype=torch.float32).eval()
    codes, _ = speak(engine, "I hear you.")
    with mimi.open_decoder() as stream:
        ours = stream.decode(codes).result()
    with torch.no_grad():
        values = theirs.decode(torch.from_numpy(codes.T)[None]).audio_values
    assert values is not None
    sound = values[0, 0].numpy()
    assert np.abs(ours - sound).max() < 1e-4 * np.abs(sound).max()


def test_they_are_small_and_say_what_they_are():
    files = [file for folder in (CSM, MIMI) for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) / 1e6 <= MOST_MB
    for folder in (CSM, MIMI):
        card = (folder / "README.md").read_text()
        for heading in ("Data", "Recipe", "Sizes", "Measured", "Limits", "Licence"):
            assert heading in card, f"{folder.name}: {heading}"
