"""Mimi (Defossez et al. 2024, arXiv 2410.00037): a streaming neural codec, for many streams in one batch.

A decoder or encoder holds weights only.  What a stream has heard so far is a value, `DecoderState` or `EncoderState`,
with a slot for each of many streams; a step runs any choice of slots, each at its own position, and leaves the others
alone. Chunk by chunk, alone or beside others, a stream gives what one call over the whole gives, to float rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from services.mimi.model import seanet
from services.mimi.model.config import MimiConfig
from services.mimi.model.convolution import ChannelUpsampling, load_conv
from services.mimi.model.quantizer import SplitQuantizer
from services.mimi.model.slots import Slots
from services.mimi.model.transformer import AttentionMemory, Transformer
from services.mimi.model.weights import Weights


@dataclass
class StreamState:
    """What streams have heard.

    Attributes:
        positions: transformer positions that each stream has had, (slots,).
        seanet: memory of the SEANet's convolutions, each (slots, H, C).
        attention: keys and values.
        resampling: memory of the convolution between 25 Hz and 12.5 Hz, (slots, H, C).
        frames: longest step, in RVQ frames.
    """

    positions: Tensor
    seanet: seanet.Memories
    attention: AttentionMemory
    resampling: Tensor
    frames: int

    @torch.inference_mode()
    def reset(self, slot: int) -> None:
        """Makes `slot` a stream that has not begun.  Old keys and values need no wiping: positions rule them out."""
        self.positions[slot] = 0
        self.resampling[slot] = 0
        for memory in self.seanet:
            memory[slot] = 0


class DecoderState(StreamState):
    """State of decoding streams."""


class EncoderState(StreamState):
    """State of encoding streams."""


class MimiDecoder:
    """RVQ codes to sound."""

    def __init__(self, weights: Weights, config: MimiConfig, quantizer: SplitQuantizer) -> None:
        self.config = config
        self._quantizer = quantizer
        kernel = 2 * config.positions_per_frame
        self._upsample = ChannelUpsampling(weights("upsample.conv.weight", (config.width, 1, kernel)))
        self._transformer = Transformer(weights, "decoder_transformer", config)
        self._seanet = seanet.load_decoder(weights, config)

    def use_kernels(self) -> None:
        """Runs on Triton kernels from now on; needs a GPU."""
        self._transformer.use_kernels()
        self._seanet.use_kernels()

    def new_state(self, slots: int, frames: int, device: torch.device) -> DecoderState:
        """State of `slots` streams for steps of at most `frames` frames."""
        return DecoderState(
            positions=torch.zeros(slots, dtype=torch.int64, device=device),
            seanet=self._seanet.new_memories(slots, device),
            attention=self._transformer.new_memory(slots, frames * self.config.positions_per_frame, device),
            resampling=self._upsample.new_memory(slots, device),
            frames=frames,
        )

    @torch.inference_mode()
    def step(self, codes: Tensor, state: DecoderState, slots: Slots) -> Tensor:
        """Codes (B, T, Q) of the streams in `slots` -> their sound, (B, T * 1920).

        T is at most `state.frames`; codes are `quantizer.NO_CODE` where a stream has fewer codebooks than Q.
        """
        signal = self._upsample(self._quantizer.decode(codes), state.resampling, slots)
        positions = slots.read(state.positions)
        signal = self._transformer(signal, positions, state.attention, slots)
        slots.write(state.positions, positions + signal.shape[1])
        return self._seanet(signal, state.seanet, slots)[:, :, 0]


class MimiEncoder:
    """Sound to RVQ codes."""

    def __init__(self, weights: Weights, config: MimiConfig, quantizer: SplitQuantizer) -> None:
        self.config = config
        self._quantizer = quantizer
        stride = config.positions_per_frame
        self._seanet = seanet.load_encoder(weights, config)
        self._transformer = Transformer(weights, "encoder_transformer", config)
        self._downsample = load_conv(
            weights, "downsample", config.width, config.width, 2 * stride, stride=stride, bias=False
        )

    def use_kernels(self) -> None:
        """Runs on Triton kernels from now on; needs a GPU."""
        self._seanet.use_kernels()
        self._transformer.use_kernels()
        self._downsample.use_kernels()

    def new_state(self, slots: int, frames: int, device: torch.device) -> EncoderState:
        """State of `slots` streams for steps of at most `frames` frames."""
        return EncoderState(
            positions=torch.zeros(slots, dtype=torch.int64, device=device),
            seanet=self._seanet.new_memories(slots, device),
            attention=self._transformer.new_memory(slots, frames * self.config.positions_per_frame, device),
            resampling=self._downsample.new_memory(slots, device),
            frames=frames,
        )

    @torch.inference_mode()
    def step(self, samples: Tensor, state: EncoderState, slots: Slots, codebooks: int) -> Tensor:
        """Samples (B, T * 1920) of the streams in `slots` -> the first Q codebooks of their codes, (B, T, Q).

        T is at most `state.frames`.
        """
        signal = self._seanet(samples[:, :, None], state.seanet, slots)
        positions = slots.read(state.positions)
        signal = self._transformer(signal, positions, state.attention, slots)
        # Before the first frame this one convolution hears its first input repeated, not silence.
        begun = (positions > 0)[:, None, None]
        slots.write(state.resampling, torch.where(begun, slots.read(state.resampling), signal[:, :1]))
        slots.write(state.positions, positions + signal.shape[1])
        return self._quantizer.encode(self._downsample(signal, state.resampling, slots), codebooks)


class Mimi:
    """Both halves and the quantiser that they share."""

    def __init__(self, weights: Weights, config: MimiConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        with torch.inference_mode():
            quantizer = SplitQuantizer(weights, config)
            self.decoder = MimiDecoder(weights, config, quantizer)
            self.encoder = MimiEncoder(weights, config, quantizer)

    def use_kernels(self) -> None:
        """Runs on Triton kernels from now on; needs a GPU."""
        self.decoder.use_kernels()
        self.encoder.use_kernels()
