"""The mesh under a benchmark of conversation, and what the sections of the benchmark share."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.report import summary
from oviya.cli.local.plan import GATEWAY, plan_on_free_ports
from oviya.cli.local.supervisor import LocalMesh
from oviya.mesh.channel import open_channel
from oviya.tasks import cancel_and_wait
from oviya.v1 import conversation_pb2_grpc
from tests.support.ollama_server import Answer, OllamaServer

READY_TIMEOUT_S = 180.0
TOKENS_A_SECOND = 50.0
LATENESS_EVERY_S = 0.020
progress = partial(track, console=Console(stderr=True))


@dataclass
class Run:
    """The mesh that is measured, and what was found.

    Attributes:
        mesh: the six services.
        stub: of ConversationService at the gateway.
        model: the language model of the brain; None: the listener answers.
        options: of the command line.
        figures: what was measured, by name of the goal.
        counts: how many values each of them is made of.
        cases: by section, what happened in each case.
    """

    mesh: LocalMesh
    stub: Any
    model: OllamaServer | None
    options: argparse.Namespace
    figures: dict[str, float] = field(default_factory=dict[str, float])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    cases: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])

    def answer_with(self, text: str, before_s: float = 0.0) -> None:
        """Makes the model answer everything with `text`, the next request after `before_s`."""
        assert self.model
        later = Answer(text, tokens_a_second=TOKENS_A_SECOND)
        self.model.answers = [Answer(text, tokens_a_second=TOKENS_A_SECOND, before_s=before_s), later]

    def add_share(self, name: str, values: Sequence[bool]) -> None:
        """Adds the share of true values."""
        if values:
            self.figures[name], self.counts[name] = float(np.mean(values)), len(values)

    def add_percentiles(self, name: str, values: Sequence[float]) -> None:
        """Adds the median and the 95th percentile, as `name` p50 and p95."""
        if values:
            for share in ("p50", "p95"):
                self.figures[f"{name} {share}"], self.counts[f"{name} {share}"] = summary(values)[share], len(values)


@asynccontextmanager
async def watching_lateness(run: Run, section: str) -> AsyncIterator[None]:
    """Notes by how much this process wakes late: times are not more exact than that."""
    late = list[float]()

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LATENESS_EVERY_S
            await asyncio.sleep(LATENESS_EVERY_S)
            late.append(loop.time() - due_s)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        await cancel_and_wait(watching)
        run.figures[f"{section}, this process late, p99"] = float(np.quantile(late, 0.99)) if late else 0.0


@asynccontextmanager
async def running_mesh(options: argparse.Namespace, *, stories: bool) -> AsyncIterator[Run]:
    """Starts the six services on free ports, as `oviya up` does.

    Args:
        options: of the command line.
        stories: whether the brain calls a language model that this process imitates, for long replies; otherwise its
            listener answers.
    """
    async with AsyncExitStack() as stack:
        env = {**os.environ, "GATEWAY_ICE_BIND_ADDRESSES": '["127.0.0.1"]'}
        model = OllamaServer() if stories else None
        if model:
            await stack.enter_async_context(model.serving())
            env |= {"BRAIN_BACKEND": "ollama", "BRAIN_OLLAMA_URL": model.url}
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        mesh = LocalMesh(plan_on_free_ports(env), options.logs or Path(folder))
        with mesh:
            mesh.start()
            await asyncio.to_thread(mesh.wait_ready, READY_TIMEOUT_S)
            channel = open_channel(mesh.plan.address(GATEWAY), "oviya.v1.ConversationService")
            async with channel:
                yield Run(mesh, conversation_pb2_grpc.ConversationServiceStub(channel), model, options)
