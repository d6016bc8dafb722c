"""The Triton kernels of a frame against plain torch; without a GPU in Triton's interpreter (tests/conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from services.csm.device.contract import DeviceOptions, PromptChunk, RowStart, Sampling
from services.csm.device.gpu import linear, sample
from services.csm.device.gpu.program import FrameProgram, make_state
from services.csm.device.gpu.weights import OFFSET, Scaled, frame_weights, scale_rows
from services.csm.device.torch_device import TorchDevice
from services.csm.model.sampling import draw, frame_keys
from services.csm.random_checkpoint import random_checkpoint, small_config
from services.csm.request.prompt import NO_TEXT, Prompt
from tests.support.checkpoints.csm import logits_of

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FORMATS = {"int8": torch.uint8, "fp8": torch.float8_e4m3fn}


@pytest.fixture(autouse=True)
def numpy_2_4(monkeypatch):
    """Triton's interpreter makes numbers of arrays of one element, which numpy no longer does by itself."""
    if DEVICE.type == "cuda":
        return
    from triton.runtime import interpreter  # pyright: ignore[reportMissingImports]

    patch = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)


@pytest.fixture(scope="module")
def checkpoint():
    """Small enough for an interpreter."""
    fields = small_config(
        num_codebooks=4, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, head_dim=16
    )
    fields |= {"vocab_size": 67, "codebook_pad_token_id": 66}
    fields["depth_decoder_config"] |= {
        "num_codebooks": 4, "vocab_size": 67, "backbone_hidden_size": 64, "hidden_size": 48, "intermediate_size": 80,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    }  # fmt: skip
    fields["codec_config"] |= {"num_quantizers": 4, "codebook_size": 64}
    return random_checkpoint(fields, device=DEVICE, dtype=torch.float32)


def dense(matrix: Scaled) -> torch.Tensor:
    values = matrix.values.float() - (OFFSET if matrix.values.dtype == torch.uint8 else 0)
    return values * matrix.scales[:, None]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE)


@pytest.mark.parametrize("name", FORMATS)
def test_eight_bits_keep_a_matrix_to_their_precision(name):
    matrix = random(16, 300) * torch.logspace(-3, 3, 16, device=DEVICE)[:, None]
    matrix[3] = 0
    error = (dense(scale_rows(matrix, FORMATS[name])) - matrix).norm(dim=1)
    assert (error <= {"int8": 0.01, "fp8": 0.03}[name] * matrix.norm(dim=1)).all()


@pytest.mark.parametrize("name", [None, *FORMATS])
@pytest.mark.parametrize(("outputs", "inputs"), [(30, 48), (21, 2500)])
@pytest.mark.parametrize("norm_eps", [None, 1e-5])
@pytest.mark.parametrize("residual", [False, True])
def test_a_product_of_one_row(name, outputs, inputs, norm_eps, residual):
    x, matrix, out = random(1, inputs), random(outputs, inputs), random(1, outputs)
    weight = scale_rows(matrix, FORMATS[name]) if name else matrix
    plain = dense(weight) if isinstance(weight, Scaled) else weight
    normed = x if norm_eps is None else x * torch.rsqrt(x.square().mean() + norm_eps)
    expected = normed @ plain.T + (out if residual else 0)
    linear.linear(x, weight, out, norm_eps=norm_eps, residual=residual)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [None, *FORMATS])
@pytest.mark.parametrize(("outputs", "inputs"), [(30, 48), (21, 2500)])
def test_a_swiglu_of_one_row(name, outputs, inputs):
    x, matrix, out = random(1, inputs), random(2 * outputs, inputs), random(1, outputs)
    weight = scale_rows(matrix, FORMATS[name]) if name else matrix
    plain = dense(weight) if isinstance(weight, Scaled) else weight
    gate, up = (x * torch.rsqrt(x.square().mean() + 1e-5) @ plain.T).chunk(2, dim=1)
    linear.gate_up(x, weight, out, norm_eps=1e-5)
    torch.testing.assert_close(out, torch.nn.functional.silu(gate) * up, rtol=1e-4, atol=1e-3)


def test_a_code_is_drawn_as_plain_torch_draws_it_and_none_that_no_decoder_knows():
    """Rows of other temperatures, top-k, seeds and frames; the likeliest entries are those above the codebook."""
    rows, usable, codebook = 6, 60, 2
    logits = random(rows, 64)
    logits[:, usable:] = 50.0
    temperatures = torch.tensor([0.0, 0.7, 0.9, 1.0, 1.5, 2.0], device=DEVICE)
    top_ks = torch.tensor([5, 1, 7, 50, 60, 20], device=DEVICE)
    drawn: list[int] = []
    for frame in range(8):
        seeds, frames = torch.arange(rows, device=DEVICE) - 3, torch.full((rows,), frame, device=DEVICE)
        codes = torch.full((rows, 4), -1, dtype=torch.int32, device=DEVICE)
        sample.draw(
            logits, codebook, codes, usable=usable, seeds=seeds, frames=frames, temperatures=temperatures,
            top_ks=top_ks.int(), table=None, vocabulary=64, following=None,
        )  # fmt: skip
        keys = frame_keys(seeds, frames, 4)[:, codebook]
        expected = draw(logits[:, :usable], keys, temperatures, top_ks, usable)
        assert codes[:, codebook].tolist() == expected.tolist()
        drawn += expected.tolist()
    assert len(set(drawn)) > 15


def programs(checkpoint, rows: int, depth_weights: Any = "auto"):
    """A frame program and a plain device whose rows stand at their first position, and the program's state."""
    model, config = checkpoint.model, checkpoint.config
    plain = TorchDevice(model, DeviceOptions(rows, rows))
    state = make_state(model, rows=rows, pages=rows)
    for row in range(rows):
        codes = np.random.default_rng(row).integers(1, config.codebook_size, (1, config.codebooks))
        plain.begin([RowStart(row, Sampling(0.0, 8, row), [row])])
        plain.prefill([PromptChunk(row, Prompt(np.array([NO_TEXT]), codes), 0, 0)])
        state.newest[row] = model.embed_frames(torch.from_numpy(codes).to(DEVICE))[0].float()
        state.tables[row, 0], state.seeds[row], state.top_ks[row], state.active[row] = row, row, 8, 1
    return FrameProgram(config, frame_weights(model, depth_weights), state, rows), plain, state


@pytest.mark.parametrize("rows", [1, 3])
def test_frames_equal_those_of_plain_torch(checkpoint, rows):
    program, plain, state = programs(checkpoint, rows)
    for _ in range(2):
        program.run()
        plain.launch(np.arange(rows))
        np.testing.assert_array_equal(state.codes.cpu().numpy(), plain.collect())


@pytest.mark.parametrize(
    ("depth_weights", "tolerance"), [("auto", 1e-4), ("bfloat16", 0.02), ("int8", 0.03), ("fp8", 0.15)]
)
def test_depth_weights_cost_what_their_format_does(checkpoint, depth_weights, tolerance):
    program, plain, state = programs(checkpoint, 1, depth_weights)
    seen: list[torch.Tensor] = []
    program.run(lambda codebook, logits: seen.append(logits[:, : checkpoint.config.codebook_size].clone()))
    expected = logits_of(plain, state.codes.long().cpu().numpy())
    errors = ((torch.stack(seen) - expected).norm(dim=(1, 2)) / expected.norm(dim=(1, 2))).cpu()
    assert errors.max() <= tolerance
    if depth_weights != "auto":
        assert errors[2:].max() > tolerance / 100  # it does run them
