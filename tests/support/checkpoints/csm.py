"""Small CSM checkpoints with random weights: ours, and transformers' own to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.csm.checkpoint import Checkpoint
from services.csm.device.contract import DeviceOptions, FrameDevice, PromptChunk, RowStart, Sampling
from services.csm.device.torch_device import TorchDevice
from services.csm.random_checkpoint import CODEBOOK_SIZE, small_config, write_random_checkpoint
from services.csm.request.prompt import Prompt

torch.set_num_threads(1)
"""A second thread does not speed up small products, and slows them if the core is busy."""

CODEC = {
    "hidden_size": 32,
    "num_filters": 4,
    "upsampling_ratios": [8, 6, 5, 4],
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "upsample_groups": 32,
    "num_hidden_layers": 1,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "sliding_window": 50,
}
"""A codec with Mimi's strides, as small as possible."""


def config_fields(*, codebooks: int = 8, **changes: Any) -> dict[str, Any]:
    """Fields of a config.json with `codebooks` codebooks; `changes` replace fields at its top."""
    fields = small_config()
    depth = fields["depth_decoder_config"] | {"num_codebooks": codebooks}
    codec = fields["codec_config"] | CODEC | {"num_quantizers": codebooks}
    return fields | {"num_codebooks": codebooks, "depth_decoder_config": depth, "codec_config": codec} | changes


def write_checkpoint(folder: Path, *, codebooks: int = 8, styles: tuple[str, ...] = (), **changes: Any) -> Path:
    """Writes a random checkpoint into `folder`, which it creates."""
    folder.mkdir(parents=True)
    write_random_checkpoint(folder, fields=config_fields(codebooks=codebooks, **changes), styles=styles)
    return folder


def write_tiny_checkpoint(folder: Path) -> Path:
    """Writes one as small as a CSM can be, for tests of the engine's own work."""
    sizes = {
        "vocab_size": 35, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 16,
    }  # fmt: skip
    depth = {
        "model_type": "csm_depth_decoder_model", "num_codebooks": 2, "backbone_hidden_size": 16,
        "max_position_embeddings": 33,
    }  # fmt: skip
    codec = {"model_type": "mimi", "codebook_size": 32, "num_quantizers": 2}
    fields: dict[str, Any] = {"depth_decoder_config": sizes | depth, "codec_config": codec}
    return write_checkpoint(folder, codebooks=2, max_position_embeddings=256, **sizes, **fields)


@dataclass
class Reference:
    """transformers' model of the same checkpoint."""

    model: Any

    def greedy(self, ids: list[int], audio: np.ndarray | None, ends: list[int], frames: int) -> np.ndarray:
        """The most likely frames, (T, Q), after a prompt in transformers' format.

        Args:
            ids: its token ids, with one audio token for each frame of the context.
            audio: the context's PCM, (samples,), or None.
            ends: where each segment of `audio` ends.
            frames: most frames to make.
        """
        unusable = list(range(CODEBOOK_SIZE, self.model.config.vocab_size))
        sound = {}
        if audio is not None:
            sound = {
                "input_values": torch.from_numpy(audio)[None, None],
                "input_values_cutoffs": torch.tensor([ends]),
            }
        sequences = self.model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            **sound,
            do_sample=False,
            max_new_tokens=frames,
            suppress_tokens=unusable,
            depth_decoder_do_sample=False,
            depth_decoder_suppress_tokens=unusable,
        )
        return sequences[0].numpy()

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Codes (T, Q) of one segment's PCM (samples,), by the model's own codec."""
        with torch.no_grad():
            codes = self.model.codec_model.encode(torch.from_numpy(audio)[None, None]).audio_codes
        return codes[0].T.numpy()


def load_reference(folder: Path) -> Reference:
    """Loads the checkpoint in `folder` with transformers; its codec gets random weights."""
    import transformers

    transformers.logging.set_verbosity_error()  # else it lists every weight of the codec
    torch.manual_seed(0)
    model: Any = transformers.CsmForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    for name, codebook in model.codec_model.named_buffers():
        if name.endswith("embed_sum"):  # zero at first: every code would be 0
            codebook.normal_()
    return Reference(model.eval())


def frames_alone(
    checkpoint: Checkpoint, prompt: Prompt, sampling: Sampling, frames: int, chunk: int = 64
) -> np.ndarray:
    """Frames (T, Q) of a prompt that runs alone, on its own device."""
    pages = checkpoint.config.max_pages
    device = TorchDevice(checkpoint.model, DeviceOptions(rows=1, pages=pages))
    device.begin([RowStart(0, sampling, range(pages))])
    feed(device, 0, prompt, chunk)
    return np.concatenate([step(device, [0]) for _ in range(frames)])


def feed(device: FrameDevice, row: int, prompt: Prompt, chunk: int, start: int = 0) -> None:
    """Runs a prompt from `start` on in chunks, until its row is ready to decode."""
    last = len(prompt) - 1
    for at in range(start, last, chunk):
        device.prefill([PromptChunk(row, prompt, at, min(at + chunk, last))])
    if start >= last:
        device.prefill([PromptChunk(row, prompt, last, last)])


def step(device: FrameDevice, rows: list[int]) -> np.ndarray:
    """The next frame of `rows`, in any order: (N, Q)."""
    device.launch(np.array(sorted(rows)))
    codes = device.collect()
    return codes[np.argsort(np.argsort(rows))]


@torch.inference_mode()
def logits_of(device: TorchDevice, codes: np.ndarray) -> torch.Tensor:
    """The logits of the next frame of a device's first rows, given its codes (N, Q): (Q, N, V) float32."""
    given, seen = torch.from_numpy(codes).to(device._device), []

    def choose(logits: torch.Tensor, codebook: int) -> torch.Tensor:
        seen.append(logits)
        return given[:, codebook]

    device._model.depth_decode(device._run_newest(np.arange(len(codes))), device._frame_kv, choose)
    return torch.stack(seen)


def favour_end(folder: Path, factor: float) -> None:
    """Scales the weights of code 0 in every head, so that the end frame occurs."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"][0] *= factor
    weights["depth_decoder.codebooks_head.weight"][:, :, 0] *= factor
    save_file(weights, path, metadata={"format": "pt"})
