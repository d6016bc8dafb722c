"""The weights of a CSM laid out for the frame program."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from services.csm.model import CsmModel
from services.csm.transformer import Transformer


@dataclass(frozen=True)
class LayerWeights:
    """One layer.  The weight of each RMSNorm is folded into the matrix behind it.

    Attributes:
        qkv: ((H + 2 K) D, W).
        out: (W, H D).
        gate_up: (2 F, W), the gate first.
        down: (W, F).
    """

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class StackWeights:
    """One transformer: its layers and the rotation of every position, (P, D / 2) float32 each."""

    layers: tuple[LayerWeights, ...]
    cos: Tensor
    sin: Tensor


@dataclass(frozen=True)
class FrameWeights:
    """All that a frame needs.

    Attributes:
        heads: one matrix a codebook, (V, W): codebook 0 reads the backbone, the others the depth decoder; their last
            norms are folded in.
        depth_input: the backbone's last norm folded into the projection of its output, (depth W, W).
        depth_table: (Q * vocabulary, depth W), every code's embedding after that projection without the norm: what the
            depth decoder reads next is looked up, not multiplied.
        audio_table: (Q * vocabulary, W).
    """

    backbone: StackWeights
    depth: StackWeights
    heads: tuple[Tensor, ...]
    depth_input: Tensor
    depth_table: Tensor
    audio_table: Tensor


def fold_norm(matrix: Tensor, norm: Tensor) -> Tensor:
    """Multiplies the columns of `matrix` (O, W) by a norm's weight (W,): matrix @ (norm * x) = folded @ x."""
    return (matrix.float() * norm.float()[None, :]).to(matrix.dtype).contiguous()


@torch.inference_mode()
def frame_weights(model: CsmModel) -> FrameWeights:
    """Lays out `model`'s weights.  Matrices are copied where a norm is folded in, and shared where not."""
    usable, norm = model.config.codebook_size, model.backbone.norm
    heads = [fold_norm(model.first_head[:usable], norm)]
    heads += [fold_norm(head[:, :usable].T, model.depth.norm) for head in model.depth_heads]
    return FrameWeights(
        backbone=_stack(model.backbone),
        depth=_stack(model.depth),
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
