"""Trains the CSM.  The module is the one that is served; only attention differs, which is restricted to documents.

Letters in shapes: B rows of a batch, P positions, Q codebooks, W width, F frames of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.csm.model.config import CsmConfig
from services.csm.model.csm import CsmModel
from services.csm.model.transformer import Window
from services.csm.request.prompt import NO_TEXT
from training.demo_voice.documents import Writer, batches
from training.demo_voice.run import Budget, Log, adam, learning_rate, load_state, save_state, set_rate
from training.demo_voice.speech import PHONES

RATE, DECAY = 2e-3, 0.05
DROPOUT = 0.2
"""Dropout of the input and of the output of the stack."""
MISHEARD_SHARE = 0.03
"""Share of the input frames that are replaced at random, so that the model tolerates its own mistakes."""
DEPTH_FRAMES = 6144
"""Number of frames of a batch on which the codebooks beyond the first are trained; all would take most of the time."""
DEPTH, PHONE = 2.0, 0.3
AVERAGE_DECAY = 0.999
SAVE_EVERY_S = 90


class OwnKeys:
    """Attention within a call, without a cache."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (N, T, K, D) to (N, K, T, D)."""
        return keys.transpose(1, 2), values.transpose(1, 2)


def new_model(config: CsmConfig, device: torch.device, seed: int) -> CsmModel:
    """A model for training: normally distributed weights, smaller with depth where they write to the residual
    stream."""
    generator = torch.Generator().manual_seed(seed)
    model = CsmModel(config)
    for name, weight in model.named_parameters():
        if name.endswith("norm"):
            weight.data.fill_(1.0)
            continue
        layers = config.depth.layers if name.startswith("depth.") else config.backbone.layers
        scale = 0.02 / math.sqrt(2 * layers) if name.endswith(("attention_out", "down")) else 0.02
        weight.data.normal_(0, scale, generator=generator)
    return model.to(device).requires_grad_(True)


def document_window(model: CsmModel, document: Tensor, dtype: torch.dtype) -> Window:
    """Lets each position attend to the past of its own document: document (B, P)."""
    positions = document.shape[1]
    same = document[:, :, None] == document[:, None, :]
    seen = same.tril_()
    mask = torch.zeros(seen.shape, device=document.device, dtype=dtype).masked_fill_(~seen, float("-inf"))
    backbone = model.backbone
    return Window(
        cos=backbone.cos[None, :positions, None],
        sin=backbone.sin[None, :positions, None],
        mask=mask.repeat(1, backbone.groups, 1)[:, None],
    )


class Learner(nn.Module):
    """The model, and a head for the phones of the next frame that is used in training only.

    Args:
        model: the model to train.
    """

    def __init__(self, model: CsmModel) -> None:
        super().__init__()
        self.model = model
        self.ear = nn.Linear(model.config.backbone.width, 2 * len(PHONES))

    def forward(self, batch: dict[str, Tensor], *, most_depth_frames: int | None) -> dict[str, Tensor]:
        """Losses of a batch, see `documents.batches`."""
        model = self.model
        text, codes = batch["text"], batch["codes"]
        inside = batch["document"] >= 0
        is_frame = (text == NO_TEXT) & inside
        heard = self._mishear(codes, is_frame) if self.training else codes
        x = torch.where(is_frame[..., None], model.embed_frames(heard), model.embed_text(text.clamp(min=0)))
        x = F.dropout(x, DROPOUT, self.training)
        dtype = torch.bfloat16 if x.device.type == "cuda" else x.dtype
        hidden = model.backbone(x, document_window(model, batch["document"], dtype), OwnKeys())
        rows, places = is_frame.nonzero(as_tuple=True)  # a frame is never the first of a row
        hidden = hidden[rows, places - 1]
        wanted = codes[rows, places]  # (F, Q)
        dropped = F.dropout(hidden, DROPOUT, self.training)
        first = F.cross_entropy(F.linear(dropped, model.first_head).float(), wanted[:, 0])
        phones = self.ear(dropped).float().view(len(wanted), 2, -1)
        ear = F.cross_entropy(phones.transpose(1, 2), batch["phones"][rows, places])
        if most_depth_frames is not None and len(wanted) > most_depth_frames:
            some = torch.randperm(len(wanted), device=wanted.device)[:most_depth_frames]
            hidden, wanted = hidden[some], wanted[some]
        depth = self._depth(hidden, wanted)
        return {"first": first, "depth": depth, "phone": ear, "loss": first + DEPTH * depth + PHONE * ear}

    def _mishear(self, codes: Tensor, is_frame: Tensor) -> Tensor:
        elsewhere = (1, 37)  # one row plus some positions
        wrong = is_frame & is_frame.roll(elsewhere, (0, 1))
        wrong &= torch.rand(is_frame.shape, device=codes.device) < MISHEARD_SHARE
        return torch.where(wrong[..., None], codes.roll(elsewhere, (0, 1)), codes)

    def _depth(self, hidden: Tensor, wanted: Tensor) -> Tensor:
        """Mean loss of the codebooks beyond the first: hidden (F, W), codes (F, Q)."""
        model, codebooks = self.model, wanted.shape[1]
        starts = torch.arange(codebooks - 1, device=wanted.device) * model.config.audio_vocabulary
        embedded = F.embedding(wanted[:, :-1] + starts, model.audio_embedding)
        x = F.linear(torch.cat((hidden[:, None], embedded), 1), model.depth_input)
        window = model.depth.window_of_all(0, codebooks, len(wanted))
        out = model.depth(x, window, OwnKeys())[:, 1:]
        logits = torch.einsum("fqw,qwv->fqv", out, model.depth_heads.to(out.dtype))
        return F.cross_entropy(logits.float().flatten(0, 1), wanted[:, 1:].flatten())


class Best(nn.Module):
    """The weights with the lowest losses on held-out utterances, to avoid over-fitting.

    Args:
        model: a model of the same sizes, overwritten.
    """

    loss: Tensor

    def __init__(self, model: CsmModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("loss", torch.tensor(math.inf))

    def offer(self, model: CsmModel, losses: dict[str, float]) -> dict[str, float]:
        """Keeps the weights if their losses on held-out utterances (`first`, `depth`) are the lowest so far.

        Returns:
            The losses, with the lowest sum so far as `best`.
        """
        loss = losses["first"] + DEPTH * losses["depth"]
        if loss < float(self.loss):
            self.loss.fill_(loss)
            self.model.load_state_dict(model.state_dict())
        return losses | {"best": float(self.loss)}


def fuse_layers(model: CsmModel, attempt: Callable[[], object]) -> None:
    """Compiles the layers of a stack, which halves the time of a step.

    Args:
        model: the model.
        attempt: runs its layers once.
    """
    layers = [layer for stack in (model.backbone, model.depth) for layer in stack.layers]
    for layer in layers:
        layer.compile(dynamic=False)
    try:
        attempt()
    except Exception as error:
        print(f"layers run uncompiled: {error}", flush=True)
        for layer in layers:
            layer._compiled_call_impl = None


def train_csm(
    config: CsmConfig,
    learn_from: Writer,
    judge_by: Writer,
    folder: Path,
    *,
    device: torch.device,
    seconds: float,
    steps: int | None = None,
    batch: int = 32,
    positions: int = 1024,
    workers: int = 8,
    seed: int = 0,
) -> CsmModel:
    """Trains the model; resumes if `folder` has a state.

    Returns:
        The running average of its weights at the lowest losses on `judge_by`.
    """
    torch.manual_seed(seed)
    learner = Learner(new_model(config, device, seed)).to(device)
    average = Learner(new_model(config, device, seed)).to(device).requires_grad_(False).eval()
    best = Best(new_model(config, device, seed)).to(device).requires_grad_(False)
    matrices = [p for p in learner.parameters() if p.dim() > 1]
    optimizer = adam(matrices, device, betas=(0.9, 0.95), decay=DECAY)
    optimizer.add_param_group({"params": [p for p in learner.parameters() if p.dim() <= 1], "weight_decay": 0.0})
    state = folder / "csm.pt"
    modules = {"learner": learner, "average": average, "best": best, "optimizer": optimizer}
    done, step = load_state(state, modules, device)
    stream = _on_device(batches(learn_from, batch, positions, seed=seed + step, workers=workers), device)
    checks = [next(_on_device(batches(judge_by, 16, positions, seed=99, workers=0), device))]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

    def learn() -> dict[str, Tensor]:
        with autocast:
            losses = learner(next(stream), most_depth_frames=DEPTH_FRAMES)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        return losses

    if device.type == "cuda":
        fuse_layers(learner.model, learn)
    budget, log = Budget(seconds, steps, done=done), Log(folder / "losses-csm.jsonl", "csm")
    saved, resumed_at, losses = done, step, {}

    def judge() -> dict[str, float]:
        judged = best.offer(average.model, _check(average, checks, autocast))
        return _floats(losses) | {f"new_{name}": value for name, value in judged.items()}

    while (progress := budget.progress(step)) < 1.0:
        set_rate(optimizer, learning_rate(progress, RATE))
        losses = learn()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        step += 1
        weight = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, newest in zip(average.parameters(), learner.parameters(), strict=True):
                mean.lerp_(newest, 1 - weight)
        if log.due():
            log.write(step, progress, judge())
        if progress - saved > SAVE_EVERY_S / seconds:
            save_state(state, progress, step, modules)
            saved = progress
    if step > resumed_at:
        log.write(step, 1.0, judge())
        save_state(state, 1.0, step, modules)
    return best.model


@torch.no_grad()
def _check(average: Learner, checks: list[dict[str, Tensor]], autocast: torch.autocast) -> dict[str, float]:
    """Losses on held-out utterances."""
    with autocast:
        losses = average(checks[0], most_depth_frames=None)
    return {name: float(losses[name]) for name in ("first", "depth", "phone")}


def _floats(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in losses.items() if name != "loss"}


def _on_device(stream: Iterator[dict[str, Tensor]], device: torch.device) -> Iterator[dict[str, Tensor]]:
    for batch in stream:
        yield {name: value.to(device, non_blocking=True) for name, value in batch.items()}
