"""Shared by the training stages: budget, log of losses, steps as CUDA graphs, checkpoints for resuming."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Budget:
    """The budget of a stage in seconds, or in steps where that is given; returns its progress, 0 to 1.

    Stages are limited by time, because GPU time is limited; the log shows the number of steps.
    """

    def __init__(self, seconds: float, steps: int | None = None, *, done: float = 0.0) -> None:
        self._seconds, self._steps, self._done = seconds, steps, done
        self._began = time.monotonic()

    def progress(self, step: int) -> float:
        """Progress of the stage before `step`."""
        if self._steps:
            return min(1.0, step / self._steps)
        return min(1.0, self._done + (time.monotonic() - self._began) / self._seconds)


def learning_rate(progress: float, peak: float, *, warm_up: float = 0.02, last: float = 0.02) -> float:
    """Learning rate schedule: a short warm-up, then half a cosine down to a share `last` of the peak."""
    if progress < warm_up:
        return peak * (progress + 1e-3) / warm_up
    rest = (progress - warm_up) / (1 - warm_up)
    return peak * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * rest)))


class Log:
    """Writes losses as JSON lines, and to the terminal every few seconds."""

    def __init__(self, path: Path, stage: str, every_s: float = 5.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._stage, self._every_s = path.open("a"), stage, every_s
        self._began = self._shown = time.monotonic()
        self._step = 0

    def due(self) -> bool:
        """Whether the losses should be read now, which waits for the device."""
        return time.monotonic() - self._shown >= self._every_s

    def write(self, step: int, progress: float, losses: dict[str, float]) -> None:
        """Writes one line."""
        now = time.monotonic()
        pace = (step - self._step) / max(now - self._shown, 1e-9)
        self._shown, self._step = now, step
        values = {name: round(float(value), 4) for name, value in losses.items()}
        line = {"stage": self._stage, "step": step, "seconds": round(now - self._began, 1), **values}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        filled = round(20 * progress)
        text = " ".join(f"{name} {value:.3f}" for name, value in values.items())
        print(f"{self._stage} [{'#' * filled}{'.' * (20 - filled)}] {step} {pace:.1f}/s {text}", flush=True)


class Step:
    """A training step that runs as one CUDA graph on a GPU, and eagerly elsewhere.

    Args:
        body: runs one step on tensors at fixed addresses and returns the losses; must not read any value back.
        warm_up: eager steps before the graph is recorded.
    """

    def __init__(self, body: Callable[[], dict[str, Tensor]], *, graph: bool, warm_up: int = 5) -> None:
        self._body, self._losses = body, {}
        self._graph: Any = None
        if not graph:
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warm_up):
                self._losses = body()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses = body()

    def run(self) -> None:
        """Runs a step."""
        if self._graph is None:
            self._losses = self._body()
        else:
            self._graph.replay()

    def losses(self) -> dict[str, float]:
        """The losses of the last step."""
        return {name: float(value) for name, value in self._losses.items()}


def save_state(path: Path, progress: float, step: int, modules: dict[str, Any]) -> None:
    """Saves the state of a stage."""
    part = path.with_suffix(".part")
    torch.save({"progress": progress, "step": step, **{k: m.state_dict() for k, m in modules.items()}}, part)
    part.rename(path)


def load_state(path: Path, modules: dict[str, Any], device: torch.device) -> tuple[float, int]:
    """Restores the state of a stage into the modules; returns progress and step, (0, 0) if there is none."""
    if not path.exists():
        return 0.0, 0
    state = torch.load(path, map_location=device, weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state[name])
    return float(state["progress"]), int(state["step"])


def adam(parameters: list[nn.Parameter], device: torch.device, *, betas: tuple[float, float], decay: float) -> Any:
    """AdamW with its learning rate as a tensor, so that a recorded step can follow a schedule."""
    on_gpu = device.type == "cuda"
    rate = torch.tensor(1e-3, device=device) if on_gpu else 1e-3
    return torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=decay, fused=on_gpu, capturable=on_gpu)


def set_rate(optimizer: Any, rate: float) -> None:
    """Sets the learning rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
