"""transformers' CSM at the same sizes, with random weights: what the engine is compared with.

    python -m benchmarks.csm_reference --mode default

Prints one JSON object.  A process of its own, because its compiled mode may take long or fail.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import CsmConfig, CsmForConditionalGeneration, logging

if not __package__:  # started as `python benchmarks/csm_reference.py`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from services.csm.random_checkpoint import small_config


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Time of `generate` for one stream over its frames, in ms; the prompt's share of it is small."""
    logging.set_verbosity_error()
    config = CsmConfig(**small_config()) if options.small else CsmConfig()
    device = torch.device(options.device)
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    with device:
        model: Any = CsmForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    ids = torch.randint(0, 256, (1, options.context), device=device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "do_sample": True}
    if options.mode == "static":
        model.generation_config.cache_implementation = "static"
        model.depth_decoder.generation_config.cache_implementation = "static"

    def frames_s(frames: int) -> tuple[float, int]:
        started = time.perf_counter()
        # The same length in every call: a static cache is as long as the longest answer, and compiled for it.
        made = model.generate(**inputs, max_new_tokens=frames, min_new_tokens=frames)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started, made.shape[1]

    warm_up_s, _ = frames_s(options.frames)
    runs = [frames_s(options.frames) for _ in range(2)]
    spent, made = min(runs)
    return {"frame_ms": round(spent / made * 1e3, 2), "frames": made, "warm_up_s": round(warm_up_s, 1)}


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measures transformers' CSM.")
    parser.add_argument("--mode", choices=("default", "static"), default="default")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--context", type=int, default=96, help="positions of the prompt")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--small", action="store_true")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
