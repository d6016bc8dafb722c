"""Benchmark of the CSM engine: frames, first frames, concurrent streams, starts, and transformers' CSM for comparison.

    python -m benchmarks.csm                          # all of it, on a GPU at the published sizes
    python -m benchmarks.csm --only frame,first       # some of it
    python -m benchmarks.csm --small                  # a dry run on a CPU, at small sizes

Random weights at CSM-1B's sizes with its RoPE scaling, made on the device; they cost the same as trained ones.  Needs
torch, numpy, tokenizers, safetensors, structlog and prometheus-client; transformers for the reference; rich for a nicer
table.  benchmarks/README.md says how each figure is taken.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.csm_frames import CONTEXT, TIMED_FRAMES, fill, greedy_codes, logits_error, time_frames
from benchmarks.csm_host import NullDevice
from benchmarks.csm_load import first_frame_arrivals, first_frame_idle, streams_at_once
from benchmarks.csm_start import start_once
from benchmarks.report import ROOT, parser_for, print_table, write_json
from oviya.model.device import choose_device
from services.csm.checkpoint import Checkpoint, choose_dtype
from services.csm.device.contract import DepthWeights, DeviceOptions
from services.csm.device.make import make_device
from services.csm.engine.engine import GPU_PREFILL_CHUNK, CsmEngine, EngineOptions
from services.csm.interpreter import tune_interpreter
from services.csm.model.config import pages_for
from services.csm.random_checkpoint import published_config, random_checkpoint, small_config, write_random_checkpoint
from services.csm.request.limits import Limits

SECTIONS = ("frame", "first", "arrivals", "streams", "exact", "start", "host", "reference")

LOGITS_TOLERANCE = 0.03
"""bfloat16 keeps 8 bits, an error of 0.2 % an operation; over 16 and 4 layers it adds up to some 2 %."""

HOST_DEVICE = {"frame_s": 0.005, "row_s": 20e-6, "position_s": 6e-6}
"""Times of the host section's device: about those of an H200 at 650 positions a row."""

Figures = dict[str, Any]


class Benchmark:
    """A method for each section."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = choose_device(options.device)
        self.dtype = choose_dtype("auto", self.device)
        self.fields = small_config() if options.small else published_config(eos_token_id=128_001)
        self._checkpoint: Checkpoint | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, made on first use."""
        if self._checkpoint is None:
            self._checkpoint = random_checkpoint(self.fields, device=self.device, dtype=self.dtype)
        return self._checkpoint

    def frame(self) -> list[Figures]:
        """Time of one frame by batch size, all rows at the same position; of one row by the depth weights' format."""
        results = []
        single = [(1, name) for name in self.options.depth_weights] if 1 in self.options.batches else []
        for batch, depth_weights in [*single, *((batch, "auto") for batch in self.options.batches if batch > 1)]:
            pages = pages_for(CONTEXT + 2 * TIMED_FRAMES)
            options = DeviceOptions(batch, batch * pages, depth_weights=depth_weights)
            device = make_device(self.checkpoint, options)
            fill(device, self.checkpoint, batch, pages)
            times = time_frames(device, batch)
            device.close()
            ms = statistics.median(times) * 1e3
            what = f"{batch} {depth_weights}" if batch == 1 else batch
            results.append(
                {"batch": what, "frame_ms": round(ms, 2), "x_real_time": round(80 * batch / ms, 1),
                 "worst_ms": round(max(times) * 1e3, 2)}
            )  # fmt: skip
            print(results[-1], flush=True)
        return results

    def first(self) -> Figures:
        """Request to first frame on an idle engine."""
        return self._with_engine(4, lambda engine: first_frame_idle(engine, 500, self.options.repeats))

    def arrivals(self) -> Figures:
        """Request to first frame while many arrive."""
        streams, window_s = self.options.arrivals, self.options.window_s
        return self._with_engine(streams, lambda engine: first_frame_arrivals(engine, streams, 500, window_s))

    def streams(self) -> list[Figures]:
        """Gaps between the frames of a stream, by the number of streams."""
        levels, seconds = self.options.streams, self.options.seconds
        return self._with_engine(
            max(levels), lambda engine: streams_at_once(engine, levels, seconds, (300, 1000), (60, 200))
        )

    def exact(self) -> Figures:
        """The device's program against plain torch.

        float32 at small sizes must give the same greedy codes; bfloat16 at the published sizes the same logits as
        float32 within LOGITS_TOLERANCE, at one row and at many, which run different kernels; the depth weights' other
        formats at one row.
        """
        small = random_checkpoint(small_config(), device=self.device, dtype=torch.float32)
        codes = [greedy_codes(small, program, 16, 12) for program in ("auto", "torch")]
        figures: Figures = {"float32_small_equal_codes": round(float((codes[0] == codes[1]).mean()), 4)}
        if self.device.type == "cuda":
            cases: list[tuple[int, DepthWeights]] = [(1, name) for name in self.options.depth_weights]
            for batch, depth_weights in [*cases, (16, "auto")]:
                error = logits_error(self.checkpoint, batch, depth_weights)
                figures[f"bfloat16_logits_error_{batch}_{depth_weights}"] = round(error, 4)
            figures["tolerance"] = LOGITS_TOLERANCE
        return figures

    def start(self) -> list[Figures]:
        """Process start to SERVING, twice, from a checkpoint in a file."""
        served = all(map(importlib.util.find_spec, ("grpc", "pydantic_settings", "grpc_health")))
        with tempfile.TemporaryDirectory(prefix="oviya-csm-") as folder:
            write_random_checkpoint(Path(folder), fields=self.fields, device=self.device, dtype=self.dtype)
            self._checkpoint = None  # frees its memory for the started process
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            return [{"run": i + 1, **start_once(Path(folder), str(self.device), served)} for i in range(2)]

    def host(self) -> dict[str, Any]:
        """The streams section on a device that computes nothing: the time that the host adds to a frame."""
        fields = small_config(num_codebooks=32)
        fields["depth_decoder_config"]["num_codebooks"] = 32
        checkpoint = random_checkpoint(fields, device=torch.device("cpu"), dtype=torch.float32)
        slots = max(self.options.streams)
        device = NullDevice(checkpoint.config, slots, 20 * slots, **HOST_DEVICE)
        options = EngineOptions(
            slots=slots, silence_s=0, limits=Limits(context_turns=64), prefill_chunk=GPU_PREFILL_CHUNK
        )
        engine = CsmEngine(checkpoint, options, device=device)
        tune_interpreter()
        try:
            levels = streams_at_once(engine, self.options.streams, self.options.seconds, (300, 1000), (60, 200))
        finally:
            engine.close()
        return {f"{level['streams']} streams": level for level in levels} | device.figures()

    def reference(self) -> Figures:
        """transformers' `generate`, by mode."""
        self._checkpoint = None
        figures: Figures = {}
        for mode in self.options.reference_modes:
            command = [sys.executable, "-m", "benchmarks.csm_reference", "--mode", mode]
            command += ["--device", str(self.device), "--context", str(CONTEXT)]
            command += ["--small", "--frames", "4"] if self.options.small else []
            try:
                done = subprocess.run(
                    command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=self.options.reference_s
                )
                figures[mode] = json.loads(done.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                figures[mode] = {"failed": f"not done after {self.options.reference_s:g} s"}
            except subprocess.CalledProcessError as error:
                figures[mode] = {"failed": (error.stderr.strip().splitlines() or ["no message"])[-1][:200]}
            print({mode: figures[mode]}, flush=True)
        return figures

    def _with_engine(self, slots: int, measure: Callable[[CsmEngine], Any]) -> Any:
        limits = Limits(context_turns=64)  # keeps whole contexts of up to 1,000 positions
        options = EngineOptions(
            slots=slots,
            silence_s=0,
            kv_mib=self.options.kv_mib,
            limits=limits,
            prefill_chunk=self.options.prefill_chunk,
        )
        engine = CsmEngine(self.checkpoint, options)
        tune_interpreter()
        try:
            return measure(engine)
        finally:
            engine.close()


def rows_of(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of the table: section, name, figure.  The items of a list are named by their first value."""
    rows = []
    for section, result in figures.items():
        for item in result if isinstance(result, list) else [result]:
            entries, name = iter(item.items()), ""
            if isinstance(result, list):
                name = f"[{next(entries)[1]}] "
            for key, value in entries:
                inner = {f" {key}": v for key, v in value.items()} if isinstance(value, dict) else {"": value}
                rows += [(section, f"{name}{key}{suffix}", str(v)) for suffix, v in inner.items()]
    return rows


def main() -> None:
    """Runs the sections that the command line selects."""
    parser = parser_for("csm", "Measures the CSM engine.")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, of {','.join(SECTIONS)}")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="small sizes, for a dry run")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128, 256, 512, 1024, 2048])
    parser.add_argument("--depth-weights", nargs="+", choices=get_args(DepthWeights), help="formats for one row")
    parser.add_argument("--repeats", type=int, default=20, help="requests of the first section")
    parser.add_argument("--arrivals", type=int, default=256, help="requests of the arrivals section")
    parser.add_argument("--window-s", type=float, default=8.0, help="time within which they arrive")
    parser.add_argument("--streams", type=int, nargs="+", default=[1200, 1600, 2000])
    parser.add_argument("--seconds", type=float, default=10.0, help="time at each number of streams")
    parser.add_argument("--kv-mib", type=int, default=0, help="memory for keys and values; 0: the engine's default")
    parser.add_argument("--prefill-chunk", type=int, default=0, help="positions between two frames; 0: the default")
    parser.add_argument("--reference-s", type=float, default=120.0, help="longest run of transformers, a mode")
    parser.add_argument("--reference-modes", nargs="+", choices=("default", "static"), default=["default", "static"])
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"unknown sections {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    torch.set_num_threads(1 if options.small else torch.get_num_threads())
    benchmark = Benchmark(options)
    on_gpu = benchmark.device.type == "cuda"
    options.depth_weights = options.depth_weights or (["auto", "int8", "fp8"] if on_gpu else ["auto"])
    setup = {
        "device": torch.cuda.get_device_name(benchmark.device) if on_gpu else f"CPU {platform.machine()}",
        "torch": torch.__version__, "dtype": str(benchmark.dtype).removeprefix("torch."), "small": options.small,
    }  # fmt: skip
    figures: dict[str, Any] = {}
    for section in SECTIONS:
        if section not in wanted:
            continue
        started = time.perf_counter()
        figures[section] = getattr(benchmark, section)()
        print(f"{section}: {time.perf_counter() - started:.1f} s", flush=True)
        write_json(options.json, {"setup": setup, "figures": figures})  # an interrupted run keeps its figures
    print_table("CSM engine", ("section", "what", "figure"), rows_of(figures))


if __name__ == "__main__":
    main()
