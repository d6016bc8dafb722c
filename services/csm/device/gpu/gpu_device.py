"""The `FrameDevice` of a GPU: prompts run kernel by kernel, frames as CUDA graphs of several sizes.

Letters in shapes: N rows, T tokens, P pages of a row, W backbone width, Q codebooks.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from oviya.errors import OviyaError
from oviya.model.device import still_works
from services.csm.device.contract import DeviceOptions, PromptChunk, RowStart
from services.csm.device.gpu.attention import attend, store_kv
from services.csm.device.gpu.program import FrameProgram, make_state
from services.csm.device.gpu.stack import WidePass
from services.csm.device.gpu.weights import frame_weights
from services.csm.model.csm import CsmModel
from services.csm.request.prompt import NO_TEXT

GRAPH_ROWS = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1280, 1536, 1792)
"""Sizes that get a graph, besides the device's number of rows: a frame runs the smallest that has its highest row."""

FP8_CAPABILITY = (8, 9)
"""Ada: the first with instructions for float8_e4m3."""

PREFILL_BLOCK = 16
"""Tokens of a prompt in one program of the attention kernel; a chunk is padded to whole blocks."""


class GpuDevice:
    """Rows and pages on one GPU.  All of its work runs on one CUDA stream, in order."""

    def __init__(self, model: CsmModel, options: DeviceOptions) -> None:
        self.rows, self.pages = options.rows, options.pages
        self._model, self._config = model, model.config
        self._device = model.first_head.device
        self._stream = torch.cuda.Stream(self._device)
        if options.depth_weights == "fp8" and torch.cuda.get_device_capability(self._device) < FP8_CAPABILITY:
            raise OviyaError("depth weights in fp8 need a GPU of compute capability 8.9", hint="int8 runs on this one")
        self._weights = frame_weights(model, options.depth_weights)
        self._state = make_state(model, rows=options.rows, pages=options.pages)
        self._codes = torch.empty(self._state.codes.shape, dtype=torch.int32, pin_memory=True)
        # The start of the prompts before a frame, the start of the frame, and the copy of its codes.
        self._prefill_began, self._began, self._done = (torch.cuda.Event(enable_timing=True) for _ in range(3))
        self._prefilled = False
        self.prefill_s: float | None = None
        self._launched: NDArray[np.int64] | None = None
        self._active: NDArray[np.int64] | None = None  # the rows of the mask on the device
        torch.cuda.synchronize(self._device)
        self._sizes = sorted({size for size in GRAPH_ROWS if size < options.rows} | {options.rows})
        # Graphs use the buffers of their programs, which must therefore be kept.
        self._programs = [FrameProgram(self._config, self._weights, self._state, size) for size in self._sizes]
        self._graphs = self._capture()

    def _capture(self) -> list[torch.cuda.CUDAGraph]:
        """Runs every program once with no active row, which compiles its kernels, then captures it."""
        graphs: list[torch.cuda.CUDAGraph] = []
        pool = torch.cuda.graph_pool_handle()  # graphs never run concurrently, so they share memory
        for program in self._programs:
            with torch.cuda.stream(self._stream):
                program.run()
            self._stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=self._stream):
                program.run()
            graphs.append(graph)
        return graphs

    @torch.inference_mode()
    def begin(self, starts: Sequence[RowStart]) -> None:
        if not starts:
            return
        state = self._state
        tables = np.zeros((len(starts), state.tables.shape[1]), np.int32)
        for line, start in zip(tables, starts, strict=True):
            line[: len(start.pages)] = start.pages
        seeds = np.array([start.sampling.seed for start in starts], np.uint64).view(np.int64)
        with torch.cuda.stream(self._stream):
            rows = self._to_device(np.array([start.row for start in starts], np.int64))
            state.tables[rows] = self._to_device(tables)
            state.seeds[rows] = self._to_device(seeds)
            state.temperatures[rows] = self._to_device(
                np.array([start.sampling.temperature for start in starts], np.float32)
            )
            state.top_ks[rows] = self._to_device(np.array([start.sampling.top_k for start in starts], np.int32))
            state.frames.index_fill_(0, rows, 0)

    @torch.inference_mode()
    def prefill(self, chunks: Sequence[PromptChunk]) -> None:
        running = [chunk for chunk in chunks if chunk.stop > chunk.start]
        last = [chunk for chunk in chunks if chunk.is_last]
        with torch.cuda.stream(self._stream):
            if not self._prefilled:
                self._prefilled = True
                self._prefill_began.record(self._stream)
            if running:
                self._run_backbone(running)
            if last:
                rows = self._to_device(np.array([chunk.row for chunk in last], np.int64))
                self._state.newest[rows] = self._embed(
                    np.concatenate([chunk.prompt.text[-1:] for chunk in last]),
                    np.concatenate([chunk.prompt.codes[-1:] for chunk in last]),
                )
                stops = np.array([chunk.stop for chunk in last], np.int32)
                self._state.positions[rows] = self._to_device(stops)

    @torch.inference_mode()
    def launch(self, rows: NDArray[np.int64]) -> None:
        size = bisect.bisect_left(self._sizes, int(rows[-1]) + 1)
        with torch.cuda.stream(self._stream):
            self._began.record(self._stream)
            if self._active is None or not np.array_equal(rows, self._active):
                mask = np.zeros(self.rows, np.int32)
                mask[rows] = 1
                self._state.active.copy_(torch.from_numpy(mask))
                self._active = rows.copy()
            self._graphs[size].replay()
            count = self._sizes[size]
            self._codes[:count].copy_(self._state.codes[:count], non_blocking=True)
            self._done.record(self._stream)
        self._launched = rows

    def collect(self) -> NDArray[np.int64]:
        assert self._launched is not None, "collect before launch"
        rows, self._launched = self._launched, None
        self._done.synchronize()
        self.prefill_s = self._prefill_began.elapsed_time(self._began) / 1e3 if self._prefilled else 0.0
        self._prefilled = False
        return self._codes.numpy()[rows].astype(np.int64)

    def works(self) -> bool:
        return still_works(self._device)

    def close(self) -> None:
        torch.cuda.synchronize(self._device)
        del self._graphs, self._programs, self._state, self._weights

    def _run_backbone(self, chunks: Sequence[PromptChunk]) -> None:
        """Runs positions of several prompts through the backbone, for their keys and values only."""
        parts = [_padded(chunk) for chunk in chunks]
        text, codes, rows, positions = (np.concatenate(part) for part in zip(*parts, strict=True))
        x = self._embed(text, codes)
        where = (self._state.tables, self._to_device(rows), self._to_device(positions))
        sizes, stack, state = self._config.backbone, self._weights.backbone, self._state
        current = WidePass(x, sizes.norm_eps)
        for number, layer in enumerate(stack.layers):
            qkv = current.normed_linear(layer.qkv)
            q = torch.empty(len(x), sizes.heads, sizes.head_dim, device=qkv.device, dtype=qkv.dtype)
            pages = (state.k_pages[number], state.v_pages[number], *where)
            store_kv(qkv, q, *pages, stack.cos, stack.sin)
            if number + 1 == len(stack.layers):
                return  # the output of the last layer is not needed
            out = torch.zeros_like(q)
            attend(q, *pages, out, tokens_a_block=PREFILL_BLOCK)
            current.add_linear(out.view(len(x), -1), layer.out)
            current.add_linear(current.normed_swiglu(layer.gate_up), layer.down)

    def _embed(self, text: NDArray[np.int64], codes: NDArray[np.int64]) -> Tensor:
        """Embeds positions: text (T,) and codes (T, Q) to (T, W) float32."""
        on_device = self._to_device(text)
        words = F.embedding(on_device.clamp(min=0), self._model.text_embedding)
        frames = self._model.embed_frames(self._to_device(codes))
        return torch.where((on_device == NO_TEXT)[:, None], frames, words).float()

    def _to_device(self, values: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device, non_blocking=True)


def _padded(chunk: PromptChunk) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Text, codes, row and position of each token of a chunk, padded to whole blocks with tokens at position -1."""
    fill = -(chunk.stop - chunk.start) % PREFILL_BLOCK
    part = slice(chunk.start, chunk.stop)
    positions = np.concatenate((np.arange(chunk.start, chunk.stop), np.full(fill, -1))).astype(np.int32)
    return (
        np.pad(chunk.prompt.text[part], (0, fill)),
        np.pad(chunk.prompt.codes[part], ((0, fill), (0, 0))),
        np.full(len(positions), chunk.row, np.int32),
        positions,
    )
