"""CSM and Mimi as users start them: two processes, called over gRPC.

    python -m benchmarks.services               # on the first GPU, at the published sizes with random weights
    python -m benchmarks.services --demo        # the checkpoints that ship, anywhere

Prints a table and writes build/benchmarks/services.json.  benchmarks/README.md says what each figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from benchmarks.report import parser_for, print_table, write_json
from oviya.rvq import FRAME_S, pack_frames
from oviya.v1 import csm_pb2, csm_pb2_grpc, mimi_pb2, mimi_pb2_grpc
from tests.support.service_process import ServiceProcess

START_S = 300.0
CALL_S = 120.0
LEAD = Duration(seconds=1, nanos=500_000_000)
TEXT = "The next sentence of a conversation is about as long as people's sentences are."
ARRIVALS_S = 3.0
"""Streams of the load arrive at random within this time."""


class Caller:
    """Calls both services and notes times in seconds."""

    def __init__(self, csm: aio.Channel, mimi: aio.Channel, codebooks: int, codebook_size: int) -> None:
        self._csm: Any = csm_pb2_grpc.CsmServiceStub(csm)
        self._mimi: Any = mimi_pb2_grpc.MimiServiceStub(mimi)
        self._codebooks, self._size = codebooks, codebook_size
        self._rng = np.random.default_rng(0)

    def request(self, positions: int, frames: int) -> csm_pb2.GenerateRequest:
        """A request with a context of about `positions` that nobody has sent before."""
        codes = self._rng.integers(1, self._size, (max(1, positions - 13), self._codebooks))
        clip = csm_pb2.ContextSegment(text="A clip.", audio=pack_frames(codes), reference=True)
        sampling = csm_pb2.Sampling(seed=int(self._rng.integers(1 << 62)))
        return csm_pb2.GenerateRequest(text=TEXT, context=[clip], sampling=sampling, max_frames=frames, lead=LEAD)

    async def frames(self, request: csm_pb2.GenerateRequest) -> list[float]:
        """Sends a request; returns when each frame arrived, counted from the request."""
        began, times = time.perf_counter(), list[float]()
        async for response in self._csm.Generate(request, timeout=CALL_S):
            if response.WhichOneof("response") == "frames":
                times.append(time.perf_counter() - began)
        return times

    async def sound(self, request: csm_pb2.GenerateRequest) -> float:
        """Sends a request and its frames to Mimi; returns the time to the first sound."""
        began = time.perf_counter()
        generation, decoding = self._csm.Generate(request, timeout=CALL_S), self._mimi.Decode(timeout=CALL_S)
        frames = (await generation.read()).frames
        await decoding.write(mimi_pb2.DecodeRequest(frames=frames))
        await decoding.read()
        taken = time.perf_counter() - began
        generation.cancel()
        decoding.cancel()
        return taken

    async def load(self, streams: int, frames: int) -> list[list[float]]:
        """Frame times of paced streams with 300 positions of context each, which arrive at random."""

        async def one(after_s: float) -> list[float]:
            await asyncio.sleep(after_s)
            return await self.frames(self.request(300, frames))

        return list(await asyncio.gather(*(one(float(self._rng.uniform(0, ARRIVALS_S))) for _ in range(streams))))


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, 100 * share))


def lateness(times: Sequence[float]) -> float:
    """How late the worst frame came for a playout that began with the first one, in seconds; 0 where none was late."""
    return max(0.0, *(at - times[0] - number * FRAME_S for number, at in enumerate(times)))


async def measure(options: argparse.Namespace, csm: ServiceProcess, mimi: ServiceProcess) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with csm.channel() as to_csm, mimi.channel() as to_mimi:
        csm_stub: Any = csm_pb2_grpc.CsmServiceStub(to_csm)
        mimi_stub: Any = mimi_pb2_grpc.MimiServiceStub(to_mimi)
        model = await csm_stub.GetModel(csm_pb2.CsmServiceGetModelRequest(), timeout=CALL_S)
        codec = await mimi_stub.GetModel(mimi_pb2.MimiServiceGetModelRequest(), timeout=CALL_S)
        figures |= {"slots": model.slots, "decode_streams": codec.decode_streams, "device": model.model.device}
        caller = Caller(to_csm, to_mimi, model.codebooks, model.codebook_size)
        await caller.sound(caller.request(50, 5))
        for positions in options.positions:
            new, cached, sound = list[float](), list[float](), list[float]()
            for _ in range(options.repeats):
                request = caller.request(positions, 3)
                new.append((await caller.frames(request))[0])
                cached.append((await caller.frames(request))[0])
                sound.append(await caller.sound(caller.request(positions, 5)))
            for name, values in (("new", new), ("cached", cached), ("sound", sound)):
                figures[f"first {name} {positions}"] = {
                    "median_ms": statistics.median(values) * 1e3, "p95_ms": percentile(values, 0.95) * 1e3
                }  # fmt: skip
        for streams in options.streams:
            if streams > model.slots:
                continue
            tracks = await caller.load(streams, options.frames)
            firsts = [times[0] for times in tracks]
            figures[f"load {streams}"] = {
                "first_median_ms": statistics.median(firsts) * 1e3,
                "first_p95_ms": percentile(firsts, 0.95) * 1e3,
                "late_streams": sum(lateness(times) > 0 for times in tracks),
                "worst_late_ms": max(map(lateness, tracks)) * 1e3,
            }
    return figures


def rows_of(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields a row of the table for each figure or group of figures."""
    for name, value in figures.items():
        group = isinstance(value, dict)
        yield name, ", ".join(f"{key} {number:.1f}" for key, number in value.items()) if group else str(value)


def make_checkpoints(folder: Path) -> dict[str, dict[str, str]]:
    """Random weights of the published sizes, as files."""
    import torch

    from services.csm.random_checkpoint import published_config
    from services.csm.random_checkpoint import write_random_checkpoint as write_csm
    from tests.support.checkpoints.random_mimi import write_random_checkpoint as write_mimi

    device = torch.device("cuda")
    (folder / "csm").mkdir()
    (folder / "mimi").mkdir()
    write_csm(folder / "csm", fields=published_config(), device=device, dtype=torch.bfloat16)
    write_mimi(folder / "mimi")
    torch.cuda.empty_cache()
    return {name: {"CHECKPOINT": str(folder / name)} for name in ("csm", "mimi")}


def main() -> None:
    parser = parser_for("services", __doc__)
    parser.add_argument("--demo", action="store_true", help="the checkpoints that ship")
    parser.add_argument("--positions", type=int, nargs="+", default=[50, 250, 1500])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32, 128, 256, 352])
    parser.add_argument("--frames", type=int, default=125, help="frames of each stream of the load; 125 are 10 s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oviya-services-") as name:
        folder = Path(name)
        settings = {"csm": {}, "mimi": {}} if options.demo else make_checkpoints(folder)
        with (
            ServiceProcess("services.csm", folder / "csm.log", **settings["csm"]) as csm,
            ServiceProcess("services.mimi", folder / "mimi.log", **settings["mimi"]) as mimi,
        ):
            figures: dict[str, Any] = {"start mimi s": round(mimi.start(START_S), 1)}
            figures["start csm s"] = round(csm.start(START_S), 1)
            figures |= asyncio.run(measure(options, csm, mimi))
    print_table("CSM and Mimi", ("figure", "measured"), rows_of(figures))
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
