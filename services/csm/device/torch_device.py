"""The device in plain torch: runs anywhere, and is the reference for faster ones.

The host knows every position and frame number, so nothing is copied back from the device but finished frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oviya.model.device import still_works
from services.csm.device.contract import DeviceOptions, PromptChunk, RowStart
from services.csm.model.config import PAGE
from services.csm.model.csm import CsmModel
from services.csm.model.kv import FrameKv, PagedKv
from services.csm.model.sampling import draw, frame_keys
from services.csm.request.prompt import NO_TEXT, Prompt


class TorchDevice:
    """A `FrameDevice` on the device that holds the model's weights."""

    prefill_s: float | None = None

    def __init__(self, model: CsmModel, options: DeviceOptions) -> None:
        weight = model.first_head
        factory = {"device": weight.device, "dtype": weight.dtype}
        self.rows, self.pages = options.rows, options.pages
        self._model, self._device = model, weight.device
        self._kv = PagedKv(model.config.backbone, options.pages, **factory)
        self._frame_kv = FrameKv(model.config.depth, options.rows, **factory)
        self._newest = torch.zeros(options.rows, model.config.backbone.width, **factory)
        # On the host: where each row is, and how its codes are drawn.
        self._tables = np.zeros((options.rows, model.config.max_pages), np.int64)
        self._positions = np.zeros(options.rows, np.int64)
        self._frames = np.zeros(options.rows, np.int64)
        self._seeds = np.zeros(options.rows, np.uint64)
        self._temperatures = np.zeros(options.rows, np.float32)
        self._top_ks = np.ones(options.rows, np.int64)
        self._launched: Tensor | None = None

    def begin(self, starts: Sequence[RowStart]) -> None:
        for start in starts:
            row, sampling = start.row, start.sampling
            self._tables[row] = 0
            self._tables[row, : len(start.pages)] = start.pages
            self._frames[row] = 0
            self._seeds[row] = sampling.seed
            self._temperatures[row], self._top_ks[row] = sampling.temperature, sampling.top_k

    @torch.inference_mode()
    def prefill(self, chunks: Sequence[PromptChunk]) -> None:
        for chunk in chunks:
            if chunk.stop > chunk.start:
                positions = np.arange(chunk.start, chunk.stop)[None]
                self._run_backbone(
                    self._embed(chunk.prompt, chunk.start, chunk.stop)[None], self._tables[chunk.row][None], positions
                )
            if chunk.is_last:
                self._newest[chunk.row] = self._embed(chunk.prompt, chunk.stop, chunk.stop + 1)[0]
                self._positions[chunk.row] = chunk.stop

    @torch.inference_mode()
    def launch(self, rows: NDArray[np.int64]) -> None:
        hidden = self._run_newest(rows)
        # A seed is unsigned on the wire and signed on the device, bit for bit.
        seeds = self._tensor(self._seeds[rows].view(np.int64))
        keys = frame_keys(seeds, self._tensor(self._frames[rows]), self._model.config.codebooks)
        temperatures, top_ks = self._tensor(self._temperatures[rows]), self._tensor(self._top_ks[rows])
        max_top_k = int(self._top_ks[rows].max())

        def choose(logits: Tensor, codebook: int) -> Tensor:
            return draw(logits, keys[:, codebook], temperatures, top_ks, max_top_k)

        codes = self._model.depth_decode(hidden, self._frame_kv, choose)
        self._newest[self._tensor(rows)] = self._model.embed_frames(codes)
        self._positions[rows] += 1
        self._frames[rows] += 1
        self._launched = codes

    def collect(self) -> NDArray[np.int64]:
        assert self._launched is not None, "collect before launch"
        codes, self._launched = self._launched.cpu().numpy(), None
        return codes

    def works(self) -> bool:
        return still_works(self._device)

    def close(self) -> None:
        del self._kv, self._frame_kv, self._newest

    def _run_newest(self, rows: NDArray[np.int64]) -> Tensor:
        """Runs the backbone over the newest position of `rows`: (N, W)."""
        newest = self._newest[self._tensor(rows)]
        return self._run_backbone(newest[:, None], self._tables[rows], self._positions[rows][:, None])[:, -1]

    def _run_backbone(self, x: Tensor, tables: NDArray[np.int64], positions: NDArray[np.int64]) -> Tensor:
        """Runs the backbone over `x` (N, T, W) at `positions` (N, T) of rows with `tables` (N, pages of a row)."""
        pages = int(positions.max()) // PAGE + 1
        at = self._tensor(positions)
        view = self._kv.at(self._tensor(tables[:, :pages]), at)
        return self._model.backbone(x, self._model.backbone.window_at(at, pages * PAGE), view)

    def _embed(self, prompt: Prompt, start: int, stop: int) -> Tensor:
        """Embeds positions `start` to `stop` - 1 of a prompt: (T, W)."""
        text, codes = prompt.text[start:stop], prompt.codes[start:stop]
        is_text = text != NO_TEXT
        x = torch.empty(stop - start, self._newest.shape[1], device=self._device, dtype=self._newest.dtype)
        if is_text.any():
            x[self._tensor(is_text)] = self._model.embed_text(self._tensor(text[is_text]))
        if not is_text.all():
            x[self._tensor(~is_text)] = self._model.embed_frames(self._tensor(codes[~is_text]))
        return x

    def _tensor(self, values: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
