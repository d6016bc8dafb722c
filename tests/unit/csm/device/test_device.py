"""The device: what runs beside a row, and where its pages lie, changes nothing for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from oviya.errors import OviyaError
from services.csm.checkpoint import load_checkpoint
from services.csm.device.contract import DeviceOptions, PromptChunk, RowStart, Sampling
from services.csm.device.make import choose_pages, choose_slots, make_device, page_bytes
from services.csm.device.torch_device import TorchDevice
from services.csm.model.config import PAGE, pages_for
from services.csm.request.prompt import NO_TEXT, Prompt, Segment, join_prompts
from tests.support.checkpoints.csm import feed, frames_alone, step, write_checkpoint
from tests.support.csm_prompt import build_prompt


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("csm") / "small"))


def make_prompt(checkpoint, text: str, context_frames: int = 0):
    rng = np.random.default_rng(context_frames)
    audio = rng.integers(0, checkpoint.config.codebook_size, (context_frames, checkpoint.config.codebooks))
    context = [Segment(1, "Before.", audio)] if context_frames else []
    return build_prompt(checkpoint.tokenizer, checkpoint.config.codebooks, text=text, speaker=0, context=context)


def make(checkpoint, rows: int, pages: int) -> TorchDevice:
    device = make_device(checkpoint, DeviceOptions(rows, pages))
    assert isinstance(device, TorchDevice)
    return device


def test_chunked_prefill_equals_whole(checkpoint):
    prompt, sampling = make_prompt(checkpoint, "A longer context.", 150), Sampling(0.9, 50, 11)
    whole = frames_alone(checkpoint, prompt, sampling, 10, chunk=10_000)
    for chunk in (1, 37, 128):
        np.testing.assert_array_equal(frames_alone(checkpoint, prompt, sampling, 10, chunk), whole)


def test_requests_that_join_pause_and_leave_equal_those_alone(checkpoint):
    """Newcomers' prompts go in by chunks of several at a time, between frames; pages come in any order."""
    prompts = [make_prompt(checkpoint, f"Sentence {i}.", frames) for i, frames in enumerate((0, 40, 100, 7, 0))]
    samplings = [
        Sampling(t, k, seed) for t, k, seed in ((0.9, 50, 1), (0, 1, 2), (1.5, 512, 2**64 - 1), (0.7, 5, 4), (1, 9, 5))
    ]
    expected = [frames_alone(checkpoint, p, s, 12) for p, s in zip(prompts, samplings, strict=True)]

    device, rng = make(checkpoint, rows=3, pages=12), np.random.default_rng(0)
    free = rng.permutation(12).tolist()
    waiting, arriving, running = list(range(5)), {}, {}
    pages: dict[int, list[int]] = {}
    made: list[list[np.ndarray]] = [[] for _ in range(5)]
    together = 0
    while waiting or arriving or running:
        rows = [row for row in range(3) if row not in arriving and row not in running]
        for row in rows[: rng.integers(0, 3)]:
            if waiting:
                request = waiting.pop(0)
                pages[row] = [free.pop() for _ in range(pages_for(len(prompts[request]) + 12))]
                device.begin([RowStart(row, samplings[request], pages[row])])
                arriving[row] = (request, 0)
        chunks = []
        for row, (request, at) in list(arriving.items()):
            stop = min(at + 16, len(prompts[request]) - 1)
            chunks.append(PromptChunk(row, prompts[request], at, stop))
            if chunks[-1].is_last:
                del arriving[row]
                running[row] = request
            else:
                arriving[row] = (request, stop)
        device.prefill(chunks)
        due = [row for row in running if rng.random() < 0.7]  # the others are paced and stand still
        if not due:
            continue
        together = max(together, len(due))
        for row, codes in zip(due, step(device, due), strict=True):
            made[running[row]].append(codes)
            if len(made[running[row]]) == 12:
                del running[row]
                free += pages.pop(row)
    assert together == 3
    for request in range(5):
        np.testing.assert_array_equal(np.stack(made[request]), expected[request])


def test_a_prefix_in_shared_pages_equals_one_that_is_run(checkpoint):
    sampling = Sampling(0.9, 50, 3)
    first = make_prompt(checkpoint, "First.", 150)
    other = Prompt(first.text.copy(), first.codes.copy())
    other.text[-3] += 1  # alike up to the end
    expected = [frames_alone(checkpoint, prompt, sampling, 8) for prompt in (first, other)]
    assert (expected[0] != expected[1]).any()
    device = make(checkpoint, rows=2, pages=6)
    device.begin([RowStart(0, sampling, [4, 1, 3])])
    feed(device, 0, first, 64)
    device.begin([RowStart(1, sampling, [4, 1, 0])])
    feed(device, 1, other, 64, start=2 * PAGE)
    frames = np.stack([step(device, [0, 1]) for _ in range(8)])
    np.testing.assert_array_equal(frames[:, 0], expected[0])
    np.testing.assert_array_equal(frames[:, 1], expected[1])


def test_pages_that_steps_wrote_serve_a_prompt_that_contains_the_answer(checkpoint):
    """The next turn's context is this turn's prompt and its frames."""
    sampling = Sampling(0.9, 50, 3)
    prompt = make_prompt(checkpoint, "First.", 20)
    device = make(checkpoint, rows=2, pages=6)
    device.begin([RowStart(0, sampling, [5, 2, 0])])
    feed(device, 0, prompt, 64)
    answer = np.concatenate([step(device, [0]) for _ in range(120)])
    rest = make_prompt(checkpoint, "Next.")
    following = join_prompts((prompt, Prompt(np.full(120, NO_TEXT), answer), rest))
    held = (len(prompt) + 119) // PAGE  # the last frame is not in the pages
    assert held == 2
    device.begin([RowStart(1, sampling, [5, 2, 1])])
    feed(device, 1, following, 64, start=held * PAGE)
    frames = np.concatenate([step(device, [1]) for _ in range(8)])
    np.testing.assert_array_equal(frames, frames_alone(checkpoint, following, sampling, 8))


def test_a_reused_row_keeps_nothing_of_its_last_request(checkpoint):
    device, sampling = make(checkpoint, rows=1, pages=4), Sampling(0.9, 50, 3)
    long, short = make_prompt(checkpoint, "Long.", 200), make_prompt(checkpoint, "Short.")
    for prompt in (long, short):
        device.begin([RowStart(0, sampling, [3, 2, 1, 0])])
        feed(device, 0, prompt, 256)
        frames = np.concatenate([step(device, [0]) for _ in range(5)])
    np.testing.assert_array_equal(frames, frames_alone(checkpoint, short, sampling, 5))


def test_codes_that_no_decoder_knows_never_come(checkpoint):
    """The vocabulary has three entries more than the codec; drawn nearly at random, they would soon appear."""
    sampling = Sampling(temperature=2.0, top_k=checkpoint.config.codebook_size, seed=9)
    frames = frames_alone(checkpoint, make_prompt(checkpoint, "Noise."), sampling, 150)
    assert checkpoint.config.audio_vocabulary == checkpoint.config.codebook_size + 3
    assert frames.max() < checkpoint.config.codebook_size
    assert len(np.unique(frames)) > checkpoint.config.codebook_size / 2


def test_seed_and_text_decide_the_frames(checkpoint):
    prompt = make_prompt(checkpoint, "Seeds.")
    frames = [frames_alone(checkpoint, prompt, Sampling(0.9, 50, seed), 6) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0] != frames[2]).any()
    other = frames_alone(checkpoint, make_prompt(checkpoint, "Other."), Sampling(0.9, 50, 5), 6)
    assert (frames[0] != other).any()


def test_the_last_position_can_be_used(checkpoint):
    last = checkpoint.config.max_positions
    prompt = make_prompt(checkpoint, "Full.", last - 40)
    room = last - len(prompt) + 1  # the last frame is never read again
    assert 0 < room < 40
    whole = checkpoint.config.max_pages
    device = make(checkpoint, rows=2, pages=2 * whole)
    for row in range(2):
        device.begin([RowStart(row, Sampling(0, 1, 0), range(row * whole, (row + 1) * whole))])
        feed(device, row, prompt, 512)
    for _ in range(room):
        frames = step(device, [0, 1])
    np.testing.assert_array_equal(frames[0], frames[1])


def test_the_memory_setting_decides_the_pages(checkpoint):
    sizes = checkpoint.config.backbone
    assert page_bytes(checkpoint) == 2 * sizes.layers * 64 * sizes.kv_heads * sizes.head_dim * 4
    assert choose_pages(checkpoint, slots=4, kv_mib=64) == (64 << 20) // page_bytes(checkpoint)
    assert choose_pages(checkpoint, slots=4, kv_mib=0) == 4 * 2 * checkpoint.config.max_pages
    assert choose_pages(checkpoint, slots=4000, kv_mib=0) * page_bytes(checkpoint) == 1024 << 20
    with pytest.raises(OviyaError, match="MiB"):
        choose_pages(checkpoint, slots=4, kv_mib=1)


def test_a_cpu_gets_a_few_slots_and_a_gpu_what_its_memory_holds(checkpoint, monkeypatch):
    assert choose_slots(checkpoint, 0) == 4
    on_gpu = replace(checkpoint, device=torch.device("cuda"))
    row = 2 * checkpoint.config.max_pages * page_bytes(checkpoint)
    for free, slots in ((0, 1), (10 * row, 6), (10_000 * row, 512)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device, free=free: (free, 10 * free))
        assert choose_slots(on_gpu, 0) == slots
    assert choose_slots(on_gpu, kv_mib=3 * row >> 20) == 3, "the setting of the memory comes first"
