"""The GPU rows of benchmarks/mimi.py: many streams in a step, torch's operations and our kernels, eager and in graphs.

Every figure comes with a check in the same run: the output of CUDA graphs, for streams that start, pause and continue
at random, is compared with one-shot decoding of each stream by torch's float32 operations.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.report import median_s, print_table
from services.mimi.engine.batcher import Job
from services.mimi.engine.decode import DecodeBatcher
from services.mimi.engine.encode import EncodeBatcher
from services.mimi.model.config import MimiConfig
from services.mimi.model.mimi import Mimi
from services.mimi.model.quantizer import NO_CODE
from services.mimi.model.slots import Slots
from services.mimi.model.weights import RandomWeights

DIRECTIONS = ("decode", "encode")
CHECKED_FRAMES = 6
ENGINE_STREAMS, ENGINE_FRAMES, ENGINE_ROUNDS = 24, 20, 2
"""Streams and frames of the check of the batchers, and how often their slots are used."""
STEP_FRAMES = 8
"""Longest step of the state, as in the engine."""

Figures = dict[str, Any]


class LoudWeights:
    """Random weights whose sound depends on the codes.

    With PyTorch's default, the output of a deep stack is dominated by its biases, which would hide errors.  Without the
    biases of convolutions and with weights that keep the variance, a seventh of the peak depends on the codes.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._random = RandomWeights(seed, device)

    def __call__(self, name: str, shape: Sequence[int]) -> Tensor:
        weight = self._random(name, shape)
        if name.endswith("conv.bias"):
            return torch.zeros_like(weight)
        if len(shape) < 2 or name.endswith("embed_sum"):
            return weight
        # Uniform within 1 / sqrt(fan in) has a third of the variance that a linear layer keeps; an ELU halves it.
        return weight * (3 * (2 if ".conv." in name else 1)) ** 0.5


def measure_gpu(streams: int, frames: int) -> Figures:
    """Measures a step of one frame by direction and method, in ms, and its difference from one-shot decoding."""
    from services.mimi.model.gpu.graphs import StepGraphs

    device = torch.device("cuda")
    config = MimiConfig()
    plain = Mimi(LoudWeights(0, device), config, device)
    fused = Mimi(LoudWeights(0, device), config, device)
    fused.use_kernels()
    figures: Figures = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "streams": streams}
    for direction in DIRECTIONS:
        inputs = make_inputs(direction, config, streams, device)
        first = inputs[:, 0].contiguous()
        every = Slots(range(streams), device)
        ms: dict[str, float] = {}
        for way, model in (("torch", plain), ("kernels", fused)):
            step = stepper(model, direction, streams, device)
            ms[way] = median_ms(partial(step, first, every), frames)
            step = stepper(model, direction, streams, device)
            graphs = StepGraphs(step, idle_inputs(direction, config, streams, device))
            if way == "kernels":  # before the timed replays: the streams are still new
                figures[f"{direction} error"] = error(direction, plain, graphs, inputs)
                figures[f"{direction} graph ms by streams"] = {
                    size: median_ms(partial(graphs.replay, size), frames) for size in graphs.sizes
                }
            ms[f"{way}, graph"] = median_ms(partial(graphs.replay, streams), frames)
            host = first.cpu().numpy()
            ms[f"{way}, graph, from and to the host"] = median_ms(partial(graphs, range(streams), host), frames)
            del graphs
        figures[direction] = ms
        started = time.perf_counter()
        figures[f"{direction} engine error"] = engine_error(direction, plain, fused)
        figures[f"{direction} engine check s"] = round(time.perf_counter() - started, 1)
    return figures


def make_inputs(
    direction: str, config: MimiConfig, streams: int, device: torch.device, frames: int = CHECKED_FRAMES, seed: int = 1
) -> Tensor:
    """Makes the input of each stream, frame by frame: codes (B, T, 1, Q) or samples (B, T, 1920)."""
    source = torch.Generator(device=device).manual_seed(seed)
    if direction == "decode":
        shape = (streams, frames, 1, config.codebooks)
        return torch.randint(0, config.codebook_size, shape, device=device, generator=source)
    return torch.randn(streams, frames, config.frame_samples, device=device, generator=source) * 0.2


def idle_inputs(direction: str, config: MimiConfig, streams: int, device: torch.device) -> Tensor:
    """Makes the input of streams that do not step."""
    if direction == "decode":
        return torch.full((streams, 1, config.codebooks), NO_CODE, device=device)
    return torch.zeros(streams, config.frame_samples, device=device)


def stepper(
    model: Mimi, direction: str, streams: int, device: torch.device, frames: int = STEP_FRAMES
) -> Callable[[Tensor, Slots], Tensor]:
    """Returns the step of one direction, with a new state."""
    if direction == "decode":
        decoder, played = model.decoder, model.decoder.new_state(streams, frames, device)
        return lambda codes, slots: decoder.step(codes, played, slots)
    encoder, heard = model.encoder, model.encoder.new_state(streams, frames, device)
    return lambda samples, slots: encoder.step(samples, heard, slots, model.config.codebooks)


def error(direction: str, model: Mimi, graphs: Callable[..., Any], inputs: Tensor) -> float:
    """Compares CUDA graphs over random choices of streams with one call over each whole stream.

    Returns:
        Decoding: the largest difference of a sample over the peak.  Encoding: the share of frames with another code.
    """
    streams, frames = inputs.shape[:2]
    whole = inputs.flatten(1, 2)
    wanted = stepper(model, direction, streams, inputs.device)(whole, Slots(range(streams), inputs.device)).cpu()
    given = inputs.cpu().numpy()
    dice = random.Random(0)
    done, found = [0] * streams, [[] for _ in range(streams)]
    while min(done) < frames:
        most = dice.randint(1, streams)
        chosen = [row for row in range(most) if done[row] < frames and dice.random() < 0.7]
        if not chosen:
            continue
        outputs = graphs(chosen, np.stack([given[row, done[row]] for row in chosen]))
        for row, output in zip(chosen, outputs, strict=True):
            found[row].append(torch.from_numpy(output))
            done[row] += 1
    return difference(direction, torch.stack([torch.cat(pieces) for pieces in found]), wanted)


def engine_error(direction: str, plain: Mimi, model: Mimi) -> float:
    """Compares a batcher with one-shot calls, as `error` does.

    Jobs have one frame or several.  On a GPU, steps of one frame are CUDA graphs and longer ones are not, over the same
    state.  Slots are used by several streams in turn.
    """
    device, config = model.device, model.config
    batcher = {"decode": partial(DecodeBatcher, watermark=None), "encode": EncodeBatcher}[direction](
        model, slots=ENGINE_STREAMS, max_frames=STEP_FRAMES
    )
    if device.type == "cuda":
        batcher.record_graphs()
    worst, dice = 0.0, random.Random(0)
    for number in range(ENGINE_ROUNDS):
        inputs = make_inputs(direction, config, ENGINE_STREAMS, device, frames=ENGINE_FRAMES, seed=2 + number)
        every = Slots(range(ENGINE_STREAMS), device)
        step = stepper(plain, direction, ENGINE_STREAMS, device, frames=ENGINE_FRAMES)
        wanted = step(inputs.flatten(1, 2), every).cpu()
        given = inputs.flatten(2).cpu().numpy()  # (B, T, Q) or (B, T, 1920)
        slots = [batcher.admit() for _ in range(ENGINE_STREAMS)]
        found: list[list[Tensor]] = [[] for _ in slots]
        done = [0] * ENGINE_STREAMS
        while min(done) < ENGINE_FRAMES or batcher.ready:
            asked: list[tuple[int, Job]] = []
            for row, slot in enumerate(slots):
                count = min(dice.choice((1, 1, 1, 2, 9)), ENGINE_FRAMES - done[row])
                if count and dice.random() < 0.7:
                    part = given[row, done[row] : done[row] + count]
                    asked.append((row, Job(slot, lambda part=part: part, config.codebooks)))
                    batcher.submit(asked[-1][1])
                    done[row] += count
            while batcher.ready:
                batcher.step(batcher.start_step(), dice.choice((1, STEP_FRAMES)))
                for job in batcher.finish_step():
                    job.deliver()
            for row, job in asked:
                found[row].append(torch.from_numpy(job.future.result()))
        for slot in slots:
            batcher.release(slot)
        got = torch.stack([torch.cat(pieces) for pieces in found])
        worst = max(worst, difference(direction, got, wanted))
    return worst


def difference(direction: str, got: Tensor, wanted: Tensor) -> float:
    """Returns the largest difference over the peak (decoding) or the share of frames with another code (encoding)."""
    if direction == "decode":
        return float((got - wanted).abs().max() / wanted.abs().max())
    return float((got != wanted).any(2).float().mean())


def median_ms(run: Callable[[], Any], repeats: int) -> float:
    """Returns the median time of `run()`, including its work on the device, in ms."""

    def step() -> None:
        run()
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    return 1e3 * median_s(step, repeats)


def print_gpu_table(figures: Figures) -> None:
    """Prints a row for each method."""
    rows = [(direction, way, f"{ms:.2f}") for direction in DIRECTIONS for way, ms in figures[direction].items()]
    title = f"{figures['gpu']}, torch {figures['torch']}, {figures['streams']} streams"
    print_table(title, ("direction", "way", "ms a frame"), rows)
    for direction in DIRECTIONS:
        sizes = ", ".join(f"{size}: {ms:.2f}" for size, ms in figures[f"{direction} graph ms by streams"].items())
        print(f"{direction}: kernels, graph, by streams: {sizes}")
    print(f"decode: recorded steps differ from one-shot torch by {figures['decode error']:.1e} of the peak at most")
    print(
        f"encode: recorded steps gave another code than one-shot torch in {figures['encode error']:.2%} of the frames"
    )
    print(
        f"the engine's steps, recorded and not: {figures['decode engine error']:.1e} of the peak, another code in "
        f"{figures['encode engine error']:.2%} of the frames"
    )
