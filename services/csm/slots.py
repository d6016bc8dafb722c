"""The device side of the engine: B requests in one batch, each at its own position with its own sampling.

The host knows every position and frame number, so a step is launched without reading anything back; its only copy to
the host is the finished frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.csm.model import CsmModel
from services.csm.prompt import NO_TEXT, Prompt
from services.csm.sampling import draw, frame_keys
from services.csm.transformer import KvCache

SPAN_STEP = 64
"""Attention looks at a multiple of this many positions, so that its shapes change rarely."""


@dataclass(frozen=True)
class Sampling:
    """How a request's codes are drawn.

    Attributes:
        temperature: 0 takes the likeliest code.
        top_k: codes to draw from, at least 1.
        seed: 0 to 2^64 - 1.
    """

    temperature: float
    top_k: int
    seed: int


class SlotBatch:
    """B slots of one model.  Not thread-safe: one thread drives it.

    A slot's life: `begin`, `prefill` until nothing is left, then `step` for every frame.  The last position of the
    prompt is kept back for the first step, so that all frames are made by the same program: run the backbone over the
    newest position, make a frame from its output, embed the frame as the next position.
    """

    def __init__(self, model: CsmModel, slots: int) -> None:
        weight = model.first_head
        self.model = model
        self.device, self._dtype = weight.device, weight.dtype
        self.backbone_cache = KvCache(model.config.backbone, slots, device=self.device, dtype=self._dtype)
        self.depth_cache = KvCache(model.config.depth, slots, device=self.device, dtype=self._dtype)
        self._newest = torch.zeros(slots, 1, model.config.backbone.width, device=self.device, dtype=self._dtype)
        self._sampling = [Sampling(0.0, 1, 0)] * slots
        self._prompts: list[Prompt | None] = [None] * slots
        self._positions = [0] * slots  # positions that the cache holds
        self._frames = [0] * slots

    def begin(self, slot: int, prompt: Prompt, sampling: Sampling) -> None:
        """Gives a slot to a request; whatever ran there is forgotten."""
        self._prompts[slot], self._sampling[slot] = prompt, sampling
        self._positions[slot] = self._frames[slot] = 0

    @torch.inference_mode()
    def prefill(self, slot: int, at_most: int) -> int:
        """Runs the next `at_most` positions of the slot's prompt; returns how many are left."""
        prompt = self._prompts[slot]
        assert prompt is not None, "prefill before begin"
        start, last = self._positions[slot], len(prompt) - 1
        stop = min(start + at_most, last)
        if stop > start:
            positions = torch.arange(start, stop, device=self.device)[None]
            window = self.model.backbone.window_at(positions, rows=slice(slot, slot + 1), span=stop)
            self.model.hear(self._embed(prompt, start, stop)[None], window, self.backbone_cache)
            self._positions[slot] = stop
        if stop == last:
            self._newest[slot] = self._embed(prompt, last, last + 1)
            self._prompts[slot] = None
        return last - stop

    @torch.inference_mode()
    def step(self, slots: Sequence[int]) -> NDArray[np.int64]:
        """Makes the next frame of each of `slots`; the others stand still.

        Returns:
            Codes (len(slots), Q), in the order of `slots`.
        """
        rows = max(slots) + 1  # the lowest slots are given out first, so few rows run for nothing
        running = set(slots)
        positions = [self._positions[row] if row in running else self.backbone_cache.dump for row in range(rows)]
        furthest = max(self._positions[slot] for slot in slots) + 1
        span = min(-(-furthest // SPAN_STEP) * SPAN_STEP, self.backbone_cache.dump)
        window = self.model.backbone.window_at(self._tensor(positions)[:, None], rows=slice(0, rows), span=span)
        hidden = self.model.hear(self._newest[:rows], window, self.backbone_cache)[:, -1]

        sampling = self._sampling[:rows]
        # A seed is unsigned on the wire and signed on the device, bit for bit.
        seeds = self._tensor([s.seed - (1 << 64) if s.seed >> 63 else s.seed for s in sampling])
        keys = frame_keys(seeds, self._tensor(self._frames[:rows]), self.model.config.codebooks)
        temperature = torch.tensor([s.temperature for s in sampling], device=self.device, dtype=torch.float32)
        top_k = self._tensor([s.top_k for s in sampling])
        widest = max(s.top_k for s in sampling)

        def choose(logits: Tensor, codebook: int) -> Tensor:
            return draw(logits, keys[:, codebook], temperature, top_k, widest)

        codes = self.model.speak(hidden, self.depth_cache, choose)
        runs = torch.tensor([row in running for row in range(rows)], device=self.device)[:, None]
        self._newest[:rows, 0] = torch.where(runs, self.model.embed_frames(codes), self._newest[:rows, 0])
        for slot in slots:
            self._positions[slot] += 1
            self._frames[slot] += 1
        return codes.cpu().numpy()[list(slots)]

    def _embed(self, prompt: Prompt, start: int, stop: int) -> Tensor:
        """Embeds positions `start` to `stop` - 1 of a prompt: (T, W)."""
        text, codes = prompt.text[start:stop], prompt.codes[start:stop]
        is_text = text != NO_TEXT
        x = torch.empty(stop - start, self.model.config.backbone.width, device=self.device, dtype=self._dtype)
        if is_text.any():
            x[torch.from_numpy(is_text)] = self.model.embed_text(torch.from_numpy(text[is_text]).to(self.device))
        if not is_text.all():
            x[torch.from_numpy(~is_text)] = self.model.embed_frames(torch.from_numpy(codes[~is_text]).to(self.device))
        return x

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, device=self.device, dtype=torch.int64)
