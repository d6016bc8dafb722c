"""The weights of a CSM laid out for the frame program."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from services.csm.device.contract import DepthWeights
from services.csm.model.csm import CsmModel
from services.csm.model.transformer import Transformer

OFFSET = 128
"""Added to a signed 8-bit integer, which is stored as uint8."""
_LARGEST = {torch.uint8: 127.0, torch.float8_e4m3fn: 448.0}
"""Largest value of each 8-bit format."""


@dataclass(frozen=True)
class Scaled:
    """A matrix with 8 bits a weight and a scale for each output, for products of a single row.

    Attributes:
        values: (O, K); uint8 with OFFSET added, or float8_e4m3fn.
        scales: (O,) float32: a weight is its value times its output's scale.
    """

    values: Tensor
    scales: Tensor

    @property
    def shape(self) -> torch.Size:
        """(O, K)."""
        return self.values.shape


Matrix = Tensor | Scaled


@dataclass(frozen=True)
class LayerWeights:
    """One layer.  The weight of each RMSNorm is folded into the matrix after it.

    Attributes:
        qkv: ((H + 2 K) D, W).
        out: (W, H D).
        gate_up: (2 F, W), the gate first.
        down: (W, F).
    """

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix


@dataclass(frozen=True)
class StackWeights:
    """One transformer: its layers and the rotation of every position, (P, D / 2) float32 each."""

    layers: tuple[LayerWeights, ...]
    cos: Tensor
    sin: Tensor


@dataclass(frozen=True)
class FrameWeights:
    """The weights of a frame program.

    Attributes:
        single_depth: the depth decoder for a single row, which is bound by reading it once a codebook.
        heads: one matrix a codebook, (V, W): codebook 0 reads the backbone, the others the depth decoder; their last
            norms are folded in.
        depth_input: the backbone's last norm folded into the projection of its output, (depth W, W).
        depth_table: (Q * vocabulary, depth W), every code's embedding after that projection without the norm, so that
            the depth decoder's next input is looked up.
        audio_table: (Q * vocabulary, W).
    """

    backbone: StackWeights
    depth: StackWeights
    single_depth: StackWeights
    heads: tuple[Tensor, ...]
    depth_input: Tensor
    depth_table: Tensor
    audio_table: Tensor


def fold_norm(matrix: Tensor, norm: Tensor) -> Tensor:
    """Multiplies the columns of `matrix` (O, W) by a norm's weight (W,): matrix @ (norm * x) = folded @ x."""
    return (matrix.float() * norm.float()[None, :]).to(matrix.dtype).contiguous()


def scale_rows(matrix: Tensor, dtype: torch.dtype) -> Scaled:
    """Quantizes a matrix (O, K) to uint8 or float8_e4m3fn, with a scale for each row so that no value is clipped."""
    exact = matrix.float()
    scales = exact.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST[dtype]
    values = exact / scales[:, None]
    if dtype == torch.uint8:
        values = values.round() + OFFSET
    return Scaled(values.to(dtype).contiguous(), scales)


@torch.inference_mode()
def frame_weights(model: CsmModel, depth_weights: DepthWeights = "auto") -> FrameWeights:
    """Lays out `model`'s weights.  Matrices with a norm folded in are copies; the others are shared."""
    usable, norm = model.config.codebook_size, model.backbone.norm
    heads = [fold_norm(model.first_head[:usable], norm)]
    heads += [fold_norm(head[:, :usable].T, model.depth.norm) for head in model.depth_heads]
    depth = _stack(model.depth)
    return FrameWeights(
        backbone=_stack(model.backbone),
        depth=depth,
        single_depth=_in_format(depth, depth_weights),
        heads=tuple(heads),
        depth_input=fold_norm(model.depth_input, norm),
        depth_table=model.audio_embedding @ model.depth_input.T,
        audio_table=model.audio_embedding,
    )


def _stack(stack: Transformer) -> StackWeights:
    layers = tuple(
        LayerWeights(
            qkv=fold_norm(layer.qkv, layer.attention_norm),
            out=layer.attention_out,
            gate_up=fold_norm(layer.gate_up, layer.ffn_norm),
            down=layer.down,
        )
        for layer in stack.layers
    )
    return StackWeights(layers, stack.cos.contiguous(), stack.sin.contiguous())


def _in_format(stack: StackWeights, depth_weights: DepthWeights) -> StackWeights:
    """The same stack with its matrices in another number format."""

    def change(matrix: Matrix) -> Matrix:
        assert isinstance(matrix, Tensor)
        match depth_weights:
            case "auto":
                return matrix
            case "bfloat16":
                return matrix.to(torch.bfloat16)
            case "int8":
                return scale_rows(matrix, torch.uint8)
            case "fp8":
                return scale_rows(matrix, torch.float8_e4m3fn)

    layers = tuple(
        LayerWeights(change(layer.qkv), change(layer.out), change(layer.gate_up), change(layer.down))
        for layer in stack.layers
    )
    return StackWeights(layers, stack.cos, stack.sin)
