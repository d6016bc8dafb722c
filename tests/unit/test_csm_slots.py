"""The batch: what runs beside a request changes nothing for it."""

from __future__ import annotations

import numpy as np
import pytest

from services.csm.checkpoint import load_checkpoint
from services.csm.prompt import Segment, build_prompt
from services.csm.slots import Sampling, SlotBatch
from tests.checkpoints.csm import write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("csm") / "small"))


def make_prompt(checkpoint, text: str, context_frames: int = 0):
    rng = np.random.default_rng(context_frames)
    audio = rng.integers(0, checkpoint.config.codebook_size, (context_frames, checkpoint.config.codebooks))
    context = [Segment(1, "Before.", audio)] if context_frames else []
    return build_prompt(checkpoint.tokenizer, checkpoint.config.codebooks, text=text, speaker=0, context=context)


def alone(checkpoint, prompt, sampling: Sampling, frames: int, chunk: int = 64) -> np.ndarray:
    batch = SlotBatch(checkpoint.model, 1)
    batch.begin(0, prompt, sampling)
    while batch.prefill(0, chunk):
        pass
    return np.concatenate([batch.step([0]) for _ in range(frames)])


def test_chunked_prefill_equals_whole(checkpoint):
    prompt, sampling = make_prompt(checkpoint, "A longer context.", 150), Sampling(0.9, 50, 11)
    whole = alone(checkpoint, prompt, sampling, 10, chunk=10_000)
    for chunk in (1, 37, 128):
        np.testing.assert_array_equal(alone(checkpoint, prompt, sampling, 10, chunk), whole)


def test_requests_that_join_pause_and_leave_equal_those_alone(checkpoint):
    prompts = [make_prompt(checkpoint, f"Sentence {i}.", frames) for i, frames in enumerate((0, 40, 100, 7, 0))]
    samplings = [
        Sampling(t, k, seed) for t, k, seed in ((0.9, 50, 1), (0, 1, 2), (1.5, 512, 2**64 - 1), (0.7, 5, 4), (1, 9, 5))
    ]
    expected = [alone(checkpoint, p, s, 12) for p, s in zip(prompts, samplings, strict=True)]

    batch, rng = SlotBatch(checkpoint.model, 3), np.random.default_rng(0)
    waiting, running = list(range(5)), {}
    made = [[] for _ in range(5)]
    rounds = 0
    while waiting or running:
        rounds += 1
        free = [slot for slot in range(3) if slot not in running]
        if waiting and free and rng.random() < 0.5:
            request = waiting.pop(0)
            running[free[0]] = request
            batch.begin(free[0], prompts[request], samplings[request])
            while batch.prefill(free[0], 16):
                pass
        due = [slot for slot in running if rng.random() < 0.7]  # the others are paced and stand still
        if not due:
            continue
        for slot, codes in zip(due, batch.step(due), strict=True):
            made[running[slot]].append(codes)
        for slot in due:
            if len(made[running[slot]]) == 12:
                del running[slot]
    assert rounds > 12
    for request in range(5):
        np.testing.assert_array_equal(np.stack(made[request]), expected[request])


def test_a_slot_used_again_forgets_what_ran_there(checkpoint):
    batch = SlotBatch(checkpoint.model, 1)
    long, short, sampling = (
        make_prompt(checkpoint, "Long.", 200),
        make_prompt(checkpoint, "Short."),
        Sampling(0.9, 50, 3),
    )
    for prompt in (long, short):
        batch.begin(0, prompt, sampling)
        while batch.prefill(0, 256):
            pass
        frames = np.concatenate([batch.step([0]) for _ in range(5)])
    np.testing.assert_array_equal(frames, alone(checkpoint, short, sampling, 5))


def test_codes_that_no_decoder_knows_never_come(checkpoint):
    """The vocabulary has three entries more than the codec; drawn nearly at random, they would soon appear."""
    sampling = Sampling(temperature=2.0, top_k=checkpoint.config.codebook_size, seed=9)
    frames = alone(checkpoint, make_prompt(checkpoint, "Noise."), sampling, 150)
    assert checkpoint.config.audio_vocabulary == checkpoint.config.codebook_size + 3
    assert frames.max() < checkpoint.config.codebook_size
    assert len(np.unique(frames)) > checkpoint.config.codebook_size / 2


def test_seed_and_text_decide_the_frames(checkpoint):
    prompt = make_prompt(checkpoint, "Seeds.")
    frames = [alone(checkpoint, prompt, Sampling(0.9, 50, seed), 6) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0] != frames[2]).any()
    other = alone(checkpoint, make_prompt(checkpoint, "Other."), Sampling(0.9, 50, 5), 6)
    assert (frames[0] != other).any()


def test_the_last_position_can_be_used(checkpoint):
    last = checkpoint.config.max_positions
    prompt = make_prompt(checkpoint, "Full.", last - 40)
    room = last - len(prompt) + 1  # the last frame is never read again
    assert 0 < room < 40
    batch = SlotBatch(checkpoint.model, 2)
    for slot in range(2):
        batch.begin(slot, prompt, Sampling(0, 1, 0))
        while batch.prefill(slot, 512):
            pass
    for _ in range(room):
        frames = batch.step([0, 1])
    np.testing.assert_array_equal(frames[0], frames[1])
