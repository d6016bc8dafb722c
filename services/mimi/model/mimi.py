"""Mimi (Defossez et al. 2024, arXiv 2410.00037): a streaming neural codec that runs many streams in one batch.

The decoder and the encoder hold weights only.  The state of the streams is a value, `StreamState`, with a slot for each
stream.  A step runs any choice of slots, each at its own position, and leaves the others unchanged.  A stream gives the
same output, to float rounding, however it is cut into steps and whatever streams run beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from services.mimi.model import seanet
from services.mimi.model.config import MimiConfig
from services.mimi.model.convolution import CausalConv, ChannelUpsampling, load_conv
from services.mimi.model.quantizer import SplitQuantizer
from services.mimi.model.slots import Slots
from services.mimi.model.transformer import KVCache, Transformer
from services.mimi.model.weights import Weights


@dataclass
class StreamState:
    """State of the streams of one direction.

    Attributes:
        positions: transformer positions that each stream has run, (slots,).
        seanet: memory of the SEANet's convolutions, each (slots, H, C).
        kv: keys and values.
        resampling: memory of the convolution between 25 Hz and 12.5 Hz, (slots, H, C).
        max_frames: longest step, in RVQ frames.
    """

    positions: Tensor
    seanet: seanet.Memories
    kv: KVCache
    resampling: Tensor
    max_frames: int

    @torch.inference_mode()
    def reset(self, slot: int) -> None:
        """Starts a new stream in `slot`.  Old keys and values may stay: positions mask them."""
        self.positions[slot] = 0
        self.resampling[slot] = 0
        for memory in self.seanet:
            memory[slot] = 0


class _Half:
    """What the decoder and the encoder have in common; `resampling` converts between 25 Hz and 12.5 Hz."""

    def __init__(
        self,
        config: MimiConfig,
        quantizer: SplitQuantizer,
        transformer: Transformer,
        convolutions: seanet.SeaNet,
        resampling: CausalConv | ChannelUpsampling,
    ) -> None:
        self.config = config
        self._quantizer, self._transformer, self._seanet = quantizer, transformer, convolutions
        self._resampling = resampling

    def use_kernels(self) -> None:
        """Runs on Triton kernels from now on; needs a GPU."""
        self._seanet.use_kernels()
        self._transformer.use_kernels()

    def new_state(self, slots: int, max_frames: int, device: torch.device) -> StreamState:
        """Returns the state of `slots` new streams for steps of at most `max_frames` frames."""
        return StreamState(
            positions=torch.zeros(slots, dtype=torch.int64, device=device),
            seanet=self._seanet.new_memories(slots, device),
            kv=self._transformer.new_cache(slots, max_frames * self.config.positions_per_frame, device),
            resampling=self._resampling.new_memory(slots, device),
            max_frames=max_frames,
        )

    def _transform(self, signal: Tensor, state: StreamState, slots: Slots) -> Tensor:
        """Runs the transformer over (B, T, D) and advances the positions."""
        positions = slots.read(state.positions)
        signal = self._transformer(signal, positions, state.kv, slots)
        slots.write(state.positions, positions + signal.shape[1])
        return signal


class MimiDecoder(_Half):
    """RVQ codes to sound."""

    def __init__(self, weights: Weights, config: MimiConfig, quantizer: SplitQuantizer) -> None:
        kernel = 2 * config.positions_per_frame
        self._upsample = ChannelUpsampling(weights("upsample.conv.weight", (config.width, 1, kernel)))
        transformer = Transformer(weights, "decoder_transformer", config)
        super().__init__(config, quantizer, transformer, seanet.load_decoder(weights, config), self._upsample)

    @torch.inference_mode()
    def step(self, codes: Tensor, state: StreamState, slots: Slots) -> Tensor:
        """Decodes the next frames of the streams in `slots`.

        Args:
            codes: (B, T, Q), T at most `state.max_frames`; `quantizer.NO_CODE` where a stream has fewer codebooks.
            state: from `new_state`.
            slots: those of the batch rows.

        Returns:
            Samples (B, T * 1920).
        """
        signal = self._upsample(self._quantizer.decode(codes), state.resampling, slots)
        return self._seanet(self._transform(signal, state, slots), state.seanet, slots)[:, :, 0]


class MimiEncoder(_Half):
    """Sound to RVQ codes."""

    def __init__(self, weights: Weights, config: MimiConfig, quantizer: SplitQuantizer) -> None:
        stride = config.positions_per_frame
        convolutions = seanet.load_encoder(weights, config)
        transformer = Transformer(weights, "encoder_transformer", config)
        self._downsample = load_conv(
            weights, "downsample", config.width, config.width, 2 * stride, stride=stride, bias=False
        )
        super().__init__(config, quantizer, transformer, convolutions, self._downsample)

    def use_kernels(self) -> None:
        super().use_kernels()
        self._downsample.use_kernels()

    @torch.inference_mode()
    def step(self, samples: Tensor, state: StreamState, slots: Slots, codebooks: int) -> Tensor:
        """Encodes the next frames of the streams in `slots`.

        Args:
            samples: (B, T * 1920), T at most `state.max_frames`.
            state: from `new_state`.
            slots: those of the batch rows.
            codebooks: Q, how many to compute.

        Returns:
            Codes (B, T, Q).
        """
        signal = self._seanet(samples[:, :, None], state.seanet, slots)
        begun = (slots.read(state.positions) > 0)[:, None, None]
        signal = self._transform(signal, state, slots)
        # This convolution alone is padded by repeating the first input, not with zeros.
        slots.write(state.resampling, torch.where(begun, slots.read(state.resampling), signal[:, :1]))
        return self._quantizer.encode(self._downsample(signal, state.resampling, slots), codebooks)


class Mimi:
    """The decoder, the encoder and the quantizer that they share."""

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
