"""Streaming, alone or in a batch, gives what transformers' `MimiModel` gives in one call."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import MimiModel

from oviya.model.checkpoint import read_config
from services.mimi.model.config import parse_config
from services.mimi.model.gpu.graphs import batch_sizes
from services.mimi.model.mimi import Mimi
from services.mimi.model.quantizer import NO_CODE
from services.mimi.model.slots import MaskedSlots, Slots
from services.mimi.model.weights import CheckpointWeights
from tests.support.checkpoints.mimi import (
    TINY,
    assert_same_codes,
    reference_codes,
    reference_mimi,
    reference_sound,
    save_mimi,
)

CPU = torch.device("cpu")
PEAK_TOLERANCE = 1e-4

VARIANTS = {
    "tiny": {},
    "two residual layers": {"num_residual_layers": 2, "dilation_growth_rate": 3, "residual_kernel_size": 5},
    "other ratios": {"upsampling_ratios": [5, 2], "num_filters": 6, "kernel_size": 3, "last_kernel_size": 5},
    "32 codebooks": {"num_quantizers": 32, "num_semantic_quantizers": 2},
    "codebooks as wide as the model": {"codebook_dim": 32, "vector_quantization_hidden_dimension": 32},
    "packed weights": {"hidden_size": 192, "upsample_groups": 192, "intermediate_size": 256, "num_filters": 32},
}


def ours(model: MimiModel, folder: Path) -> Mimi:
    save_mimi(model, folder)
    return Mimi(CheckpointWeights(folder, CPU), parse_config(read_config(folder)), CPU)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are not faster with a second thread, and on a busy machine each one would wait for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=list(VARIANTS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mimi, MimiModel]:
    model = reference_mimi(**{**TINY, **request.param})
    return ours(model, tmp_path_factory.mktemp("mimi")), model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mimi, MimiModel]:
    model = reference_mimi(**TINY)
    return ours(model, tmp_path_factory.mktemp("mimi")), model


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mimi, MimiModel]:
    model = reference_mimi()
    return ours(model, tmp_path_factory.mktemp("mimi")), model


def random_codes(mimi: Mimi, rows: int, frames: int, codebooks: int, seed: int = 1) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, mimi.config.codebook_size, (rows, frames, codebooks), generator=source)


def random_samples(mimi: Mimi, rows: int, frames: int, seed: int = 1) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(rows, frames * mimi.config.frame_samples, generator=source) * 0.3


def decode(mimi: Mimi, codes: Tensor, chunks: Sequence[int], slot: int = 0) -> Tensor:
    state, slots = mimi.decoder.new_state(slot + 1, max(chunks), CPU), Slots([slot], CPU)
    return torch.cat([mimi.decoder.step(chunk, state, slots) for chunk in codes.split(list(chunks), 1)], 1)


def encode(mimi: Mimi, samples: Tensor, chunks: Sequence[int], codebooks: int, slot: int = 0) -> Tensor:
    state, slots = mimi.encoder.new_state(slot + 1, max(chunks), CPU), Slots([slot], CPU)
    pieces = samples.split([n * mimi.config.frame_samples for n in chunks], 1)
    return torch.cat([mimi.encoder.step(piece, state, slots, codebooks) for piece in pieces], 1)


def assert_same_sound(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert float(wanted.abs().max()) > 0
    assert float((found - wanted).abs().max()) <= PEAK_TOLERANCE * float(wanted.abs().max())


def test_frame_by_frame_decoding_is_one_shot_decoding(pair: tuple[Mimi, MimiModel]):
    mimi, model = pair
    codes = random_codes(mimi, 1, 16, mimi.config.codebooks)
    assert_same_sound(decode(mimi, codes, [1] * 16), reference_sound(model, codes))


def test_frame_by_frame_encoding_is_one_shot_encoding(pair: tuple[Mimi, MimiModel]):
    mimi, model = pair
    samples = random_samples(mimi, 1, 16)
    assert_same_codes(encode(mimi, samples, [1] * 16, mimi.config.codebooks), model, samples)


@pytest.mark.parametrize("chunks", [[20], [1, 7, 2, 3, 1, 6], [6, 6, 6, 2]])
def test_uneven_chunks_change_nothing(tiny: tuple[Mimi, MimiModel], chunks: list[int]):
    mimi, model = tiny
    codes, samples = random_codes(mimi, 1, 20, 8), random_samples(mimi, 1, 20)
    assert_same_sound(decode(mimi, codes, chunks), reference_sound(model, codes))
    assert_same_codes(encode(mimi, samples, chunks, 8), model, samples)


@pytest.mark.parametrize("codebooks", [1, 3, 8])
def test_fewer_codebooks(tiny: tuple[Mimi, MimiModel], codebooks: int):
    mimi, model = tiny
    codes, samples = random_codes(mimi, 1, 6, codebooks), random_samples(mimi, 1, 6)
    assert_same_sound(decode(mimi, codes, [1] * 6), reference_sound(model, codes))
    assert_same_codes(encode(mimi, samples, [1] * 6, codebooks), model, samples)


@pytest.mark.parametrize("codebooks", [8, 32])
def test_the_published_size(full_size: tuple[Mimi, MimiModel], codebooks: int):
    mimi, model = full_size
    codes, samples = random_codes(mimi, 1, 6, codebooks), random_samples(mimi, 1, 6)
    assert_same_sound(decode(mimi, codes, [1] * 6), reference_sound(model, codes))
    assert_same_codes(encode(mimi, samples, [1] * 6, codebooks), model, samples)


def test_the_published_size_past_its_window(full_size: tuple[Mimi, MimiModel]):
    mimi, model = full_size
    codes = random_codes(mimi, 1, 130, 8)  # 260 positions; the window is 250
    assert_same_sound(decode(mimi, codes, [10] * 13), reference_sound(model, codes))


def test_a_slot_is_like_new_after_reset(tiny: tuple[Mimi, MimiModel]):
    mimi, model = tiny
    codes, samples = random_codes(mimi, 2, 12, 8), random_samples(mimi, 2, 12)
    slots = Slots([1], CPU)
    decoder, encoder = mimi.decoder.new_state(2, 12, CPU), mimi.encoder.new_state(2, 12, CPU)
    for row in (0, 1):
        decoder.reset(1)
        encoder.reset(1)
        sound = mimi.decoder.step(codes[row : row + 1], decoder, slots)
        assert_same_sound(sound, reference_sound(model, codes[row : row + 1]))
        found = mimi.encoder.step(samples[row : row + 1], encoder, slots, 8)
        assert_same_codes(found, model, samples[row : row + 1])


@pytest.mark.parametrize("seed", range(4))
def test_streams_in_a_batch_do_not_touch_each_other(tiny: tuple[Mimi, MimiModel], seed: int):
    """Random joins, leaves, pauses, orders and chunk sizes over four slots, each stream compared with itself alone."""
    mimi, model = tiny
    dice = random.Random(seed)
    streams, frames = 9, 12
    codes, samples = random_codes(mimi, streams, frames, 8, seed), random_samples(mimi, streams, frames, seed)
    decoder, encoder = mimi.decoder.new_state(4, 3, CPU), mimi.encoder.new_state(4, 3, CPU)
    sounds: list[list[Tensor]] = [[] for _ in range(streams)]
    found: list[list[Tensor]] = [[] for _ in range(streams)]
    waiting, playing, done = list(range(streams)), {}, [0] * streams
    lengths = [dice.randint(1, frames) for _ in range(streams)]
    while waiting or playing:
        free = [slot for slot in range(4) if slot not in playing]
        if waiting and free and dice.random() < 0.7:
            slot = dice.choice(free)
            playing[slot] = waiting.pop(0)
            decoder.reset(slot)
            encoder.reset(slot)
        if not playing:
            continue
        chosen = dice.sample(sorted(playing), dice.randint(1, len(playing)))
        rows = [playing[slot] for slot in chosen]
        step = dice.randint(1, min(3, *(lengths[row] - done[row] for row in rows)))
        samples_per = mimi.config.frame_samples
        part = torch.stack([codes[row, done[row] : done[row] + step] for row in rows])
        heard = torch.stack([samples[row, done[row] * samples_per : (done[row] + step) * samples_per] for row in rows])
        slots = Slots(chosen, CPU)
        sound, code = mimi.decoder.step(part, decoder, slots), mimi.encoder.step(heard, encoder, slots, 8)
        for i, (slot, row) in enumerate(zip(chosen, rows, strict=True)):
            sounds[row].append(sound[i])
            found[row].append(code[i])
            done[row] += step
            if done[row] == lengths[row]:
                del playing[slot]
    for row in range(streams):
        alone = codes[row : row + 1, : lengths[row]]
        assert_same_sound(torch.cat(sounds[row])[None], reference_sound(model, alone))
        heard = samples[row : row + 1, : lengths[row] * mimi.config.frame_samples]
        assert_same_codes(torch.cat(found[row])[None], model, heard)


@pytest.mark.parametrize("seed", range(3))
def test_masked_rows_keep_their_state(tiny: tuple[Mimi, MimiModel], seed: int):
    """As in a CUDA graph, the first slots all run and a mask selects those that step, with other steps in between."""
    mimi, model = tiny
    dice = random.Random(seed)
    streams, frames, size = 4, 14, mimi.config.frame_samples
    codes, samples = random_codes(mimi, streams, frames, 8, seed), random_samples(mimi, streams, frames, seed)
    decoder, encoder = mimi.decoder.new_state(streams, 3, CPU), mimi.encoder.new_state(streams, 3, CPU)
    sounds: list[list[Tensor]] = [[] for _ in range(streams)]
    found: list[list[Tensor]] = [[] for _ in range(streams)]
    done = [0] * streams
    while min(done) < frames:
        chosen = [row for row in range(streams) if done[row] < frames and dice.random() < 0.5]
        if not chosen:
            continue
        if dice.random() < 0.8:
            rows, indices = max(chosen) + 1, chosen
            active = torch.zeros(rows, dtype=torch.bool)
            active[chosen] = True
            slots, step = MaskedSlots(active), 1
            said, heard = torch.full((rows, 1, 8), NO_CODE), torch.zeros(rows, size)
        else:
            step, indices = min(3, frames - max(done[row] for row in chosen)), list(range(len(chosen)))
            slots = Slots(chosen, CPU)
            said, heard = torch.zeros(len(chosen), step, 8, dtype=torch.int64), torch.zeros(len(chosen), step * size)
        for index, row in zip(indices, chosen, strict=True):
            said[index] = codes[row, done[row] : done[row] + step]
            heard[index] = samples[row, done[row] * size : (done[row] + step) * size]
        sound, code = mimi.decoder.step(said, decoder, slots), mimi.encoder.step(heard, encoder, slots, 8)
        for index, row in zip(indices, chosen, strict=True):
            sounds[row].append(sound[index])
            found[row].append(code[index])
            done[row] += step
    assert_same_sound(torch.stack([torch.cat(pieces) for pieces in sounds]), reference_sound(model, codes))
    assert_same_codes(torch.stack([torch.cat(pieces) for pieces in found]), model, samples)


def test_few_batch_sizes_are_recorded():
    assert batch_sizes(1) == [1]
    assert batch_sizes(8) == [4, 8]
    assert batch_sizes(100) == [4, 8, 16, 32, 64, 100]


def test_rows_with_different_codebook_counts(tiny: tuple[Mimi, MimiModel]):
    mimi, model = tiny
    codes = random_codes(mimi, 2, 5, 8)
    mixed = codes.clone()
    mixed[1, :, 3:] = NO_CODE
    state = mimi.decoder.new_state(2, 5, CPU)
    sound = mimi.decoder.step(mixed, state, Slots([0, 1], CPU))
    assert_same_sound(sound[:1], reference_sound(model, codes[:1]))
    assert_same_sound(sound[1:], reference_sound(model, codes[1:, :, :3]))


def test_a_long_stream_keeps_its_positions_exact(tiny: tuple[Mimi, MimiModel]):
    """The output depends only on the last positions, however long the stream has run: a day has 2.16 million."""
    mimi, _ = tiny
    codes = random_codes(mimi, 1, 24, 8)
    early, late = mimi.decoder.new_state(1, 1, CPU), mimi.decoder.new_state(1, 1, CPU)
    late.positions.fill_(2_160_000 - 2_160_000 % late.kv.capacity)
    slots = Slots([0], CPU)
    for frame in range(24):
        part = codes[:, frame : frame + 1]
        now, then = mimi.decoder.step(part, early, slots), mimi.decoder.step(part, late, slots)
        if frame >= 12:  # by now both have forgotten how they began
            assert_same_sound(then, now)


def test_the_comparisons_can_fail(tiny: tuple[Mimi, MimiModel]):
    """Checks the tests above: codes use many entries, a wrong code is detected, and one code changes the sound."""
    mimi, model = tiny
    samples = random_samples(mimi, 1, 40)
    wanted = reference_codes(model, samples, 8).clone()
    assert len(wanted.unique()) > 20
    wanted[0, 17, 3] = (wanted[0, 17, 3] + 1) % mimi.config.codebook_size
    with pytest.raises(AssertionError, match="row 0, frame 17, codebook 3"):
        assert_same_codes(wanted, model, samples)
    codes = random_codes(mimi, 1, 6, 8)
    other = codes.clone()
    other[0, 0, 7] = (other[0, 0, 7] + 1) % mimi.config.codebook_size
    change = (reference_sound(model, codes) - reference_sound(model, other)).abs().max()
    assert float(change) > 10 * PEAK_TOLERANCE * float(reference_sound(model, codes).abs().max())
