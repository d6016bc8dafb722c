"""Speed of our Mimi, the `moshi` package's streaming Mimi and transformers' one-shot Mimi.

    python -m benchmarks.mimi                                                  # the CPU, and the GPU if there is one
    python -m benchmarks.mimi --only cpu --moshi-python /path/to/venv/bin/python
    python -m benchmarks.mimi --only gpu --gpu-streams 256

Random weights at the published size (kyutai/mimi: 32 codebooks, 80 ms a frame), which cost the same as trained ones.

moshi pins an older torch, so it needs its own environment, which uses the torch of this one through a .pth file:

    python -m venv moshi-venv
    moshi-venv/bin/pip install --no-deps moshi==0.2.13 sphn einops sentencepiece
    python -c "import site; print(site.getsitepackages()[0])" > moshi-venv/lib/python3.11/site-packages/host.pth

On the CPU, each system runs in its own process, one after the other, in rounds.  The figure of a round is the median
over its frames, and the table has the best round, the one that other load on the machine has disturbed least.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.report import ROOT, median_s, parser_for, print_table, write_json

FRAME_SAMPLES = 1920
FRAME_MS = 80.0
CODEBOOKS = 32
CODEBOOK_SIZE = 2048

Figures = dict[str, float]
"""Milliseconds per frame, e.g. {"decode": 11.2, "encode": 15.0}."""


def measure_ours(frames: int, streams: Sequence[int]) -> Figures:
    """Measures our Mimi, frame by frame, with batches of `streams`."""
    import torch

    from services.mimi.checkpoint import random_checkpoint
    from services.mimi.model.config import MimiConfig
    from services.mimi.model.slots import Slots

    device = torch.device("cpu")
    mimi = random_checkpoint(device, MimiConfig()).model
    figures: Figures = {}
    for count in streams:
        slots = Slots(range(count), device)
        codes = torch.randint(0, CODEBOOK_SIZE, (count, 1, CODEBOOKS), device=device)
        samples = torch.randn(count, FRAME_SAMPLES, device=device) * 0.1
        decode = partial(mimi.decoder.step, codes, mimi.decoder.new_state(count, 1, device), slots)
        encode = partial(mimi.encoder.step, samples, mimi.encoder.new_state(count, 1, device), slots, CODEBOOKS)
        suffix = "" if count == 1 else f" x{count}"
        figures[f"decode{suffix}"] = 1e3 * median_s(decode, frames)
        figures[f"encode{suffix}"] = 1e3 * median_s(encode, frames)
    return figures


def measure_moshi(frames: int) -> Figures:
    """Measures `moshi`, frame by frame, with one stream."""
    os.environ["NO_TORCH_COMPILE"] = "1"
    import torch
    from moshi.models import loaders  # pyright: ignore[reportMissingImports]

    mimi = loaders.get_mimi(None, device="cpu").eval()
    mimi.set_num_codebooks(CODEBOOKS)
    codes = torch.randint(0, CODEBOOK_SIZE, (1, CODEBOOKS, 1))
    samples = torch.randn(1, 1, FRAME_SAMPLES) * 0.1
    figures: Figures = {}
    with torch.no_grad():
        for name, step, part in (("decode", mimi.decode, codes), ("encode", mimi.encode, samples)):
            with mimi.streaming(1):
                figures[name] = 1e3 * median_s(partial(step, part), frames)
    return figures


def measure_transformers(frames: int) -> Figures:
    """Measures transformers with all frames in one call, since it cannot stream; the time is per frame."""
    import torch
    from transformers import MimiConfig, MimiModel

    model: Any = MimiModel(MimiConfig()).eval()
    calls = 3
    codes = torch.randint(0, CODEBOOK_SIZE, (1, CODEBOOKS, frames))
    samples = torch.randn(1, 1, frames * FRAME_SAMPLES) * 0.1
    with torch.no_grad():
        return {
            "decode": 1e3 * median_s(partial(model.decode, codes), calls) / frames,
            "encode": 1e3 * median_s(partial(model.encode, samples), calls) / frames,
        }


def run_system(system: str, python: str, options: argparse.Namespace) -> Figures:
    """Measures one system in a process of its own."""
    command = [python, "-m", "benchmarks.mimi", "--system", system, "--frames", str(options.frames)]
    command += ["--threads", str(options.threads), "--streams", *map(str, options.streams)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{system} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> Figures:
    """Measures the system of this process."""
    import torch

    torch.set_num_threads(options.threads)
    if options.system == "ours":
        return measure_ours(options.frames, options.streams)
    if options.system == "moshi":
        return measure_moshi(options.frames)
    return measure_transformers(options.frames)


def rows_of(figures: dict[str, Figures]) -> Iterator[tuple[str, ...]]:
    """Yields a row of the table for each measurement."""
    for system, rows in figures.items():
        for what, ms in rows.items():
            streams = int(what.split("x")[1]) if "x" in what else 1
            beside = figures.get("moshi", {}).get(what)
            ratio = f"{beside / ms:.1f}" if beside else ""
            yield system, what, f"{ms:.2f}", f"{FRAME_MS * streams / ms:.1f}", ratio


def measure_cpu(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the systems in rounds and prints the best of each."""
    pythons = {"ours": sys.executable, "moshi": options.moshi_python, "transformers": sys.executable}
    rounds: dict[str, list[Figures]] = {system: [] for system, python in pythons.items() if python}
    for _ in range(options.rounds):
        for system, results in rounds.items():
            results.append(run_system(system, pythons[system], options))
    best = {system: {what: min(r[what] for r in results) for what in results[0]} for system, results in rounds.items()}
    print_table("Mimi on a CPU", ("system", "what", "ms a frame", "x real time", "moshi / it"), rows_of(best))
    setup = {"threads": options.threads, "frames": options.frames, "rounds": options.rounds}
    return {"setup": setup, "ms_a_frame": best, "rounds": rounds}


def main() -> None:
    """Runs the measurements of the command line."""
    parser = parser_for("mimi", "Measures streaming Mimi.")
    parser.add_argument(
        "--only", choices=("cpu", "gpu"), help="one section; both by default, the GPU's where there is one"
    )
    parser.add_argument("--frames", type=int, default=50, help="frames in a round, steps of a GPU figure")
    parser.add_argument("--rounds", type=int, default=3, help="of the CPU's systems")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8], help="batch sizes of ours on the CPU")
    parser.add_argument("--gpu-streams", type=int, default=256, help="streams in a step on the GPU")
    parser.add_argument("--moshi-python", default="", help="interpreter that has moshi; empty leaves it out")
    parser.add_argument("--system", choices=("ours", "moshi", "transformers"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.system:
        print(json.dumps(measure(options)))
        return
    import torch

    if options.only == "gpu" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU")
    report: dict[str, Any] = {}
    if options.only != "gpu":
        report["cpu"] = measure_cpu(options)
    if options.only == "gpu" or (options.only is None and torch.cuda.is_available()):
        from benchmarks.mimi_gpu import measure_gpu, print_gpu_table

        report["gpu"] = measure_gpu(options.gpu_streams, options.frames)
        print_gpu_table(report["gpu"])
    write_json(options.json, report)


if __name__ == "__main__":
    main()
