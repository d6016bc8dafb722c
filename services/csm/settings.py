"""Settings of the CSM service, read from CSM_* environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from oviya.mesh.settings import AutoCount, ServiceSettings


class CsmSettings(ServiceSettings):
    """The checkpoint, how it runs, and the limits of a request."""

    model_config = SettingsConfigDict(env_prefix="CSM_")

    port: int = Field(default=50054, ge=0, le=65535)
    """gRPC port; 0 picks a free one and logs it."""
    max_concurrent_rpcs: int = Field(default=8192, ge=1, le=100_000)
    """Calls that may run at once; more are refused with RESOURCE_EXHAUSTED.  Slots usually run out first."""
    checkpoint: str = ""
    """A folder in transformers' layout, or a model id of the hub such as "sesame/csm-1b".  It counts as trained unless
    its model_card.json says otherwise.  Empty: the demo voice that ships in models/demo-csm; "random": small random
    weights, which make noise."""
    device: str = "auto"
    """"auto" (the first GPU, else the CPU) or a torch device such as "cuda:1"."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; "auto" is float32 on the CPU and bfloat16 elsewhere."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of a step.  A small checkpoint is fastest on one."""
    slots: AutoCount = Field(default="auto", ge=1, le=4096, validate_default=True)
    """Requests that run at once; more are refused with RESOURCE_EXHAUSTED.  "auto": 4 on a CPU; on a GPU, as many as
    its memory has room for with two full contexts each, at most 512.  GetModel returns the number."""
    queue_s: float = Field(default=0, ge=0, le=60)
    """How long a request waits for a slot, in seconds, before it is refused; 0 refuses it at once, so that the caller
    can try another replica."""
    queue_length: int = Field(default=64, ge=1, le=100_000)
    """Requests that may wait for a slot."""
    kv_mib: int = Field(default=0, ge=0, le=1 << 24)
    """Memory for keys and values, in MiB: of running requests, which reserve what their answer may need, and of cached
    prefixes, with which the next turn starts sooner.  0: two full contexts for each slot, at most 1024 MiB on a CPU
    and 60 % of the free memory on a GPU."""
    program: Literal["auto", "torch"] = "auto"
    """"auto": the fast program on a GPU; "torch": the plain one anywhere."""
    depth_weights: Literal["auto", "bfloat16", "int8", "fp8"] = "auto"
    """Number format of the depth decoder's weights if one request runs alone, on a GPU with the fast program: such a
    frame is bound by reading them, and 8 bits halve that.  "auto": that of the checkpoint.  Logits are less exact with
    8 bits (benchmarks/README.md).  Frames of several requests do not use them."""
    lead_s: float = Field(default=1.5, ge=0, le=600)
    """How far ahead of real time frames are sent, in seconds, unless a request says otherwise; 0: no limit."""
    temperature: float = Field(default=0.9, ge=0, le=2)
    """Sampling temperature if a request sets none."""
    top_k: int = Field(default=50, ge=1, le=2048)
    """Codes to draw from if a request sets none; limited by the size of the codebook."""
    prefill_chunk: int = Field(default=0, ge=0, le=65536)
    """Most positions of prompts that are run between two frames; 0: 256 on a CPU, 4096 on a GPU.  A GPU runs fewer if
    frames take long, so that prompts and frame together stay within 72 ms."""
    silence_s: float = Field(default=4, ge=0, le=60)
    """Silence, in seconds, after which an answer is stopped; 0: never.  Frames count as silent while their first
    codebook alternates between at most two codes; their loudness is only known once they are decoded."""
    context_turns: int = Field(default=64, ge=0, le=4096)
    """Most segments of a context that a prompt keeps, the newest ones; reference clips are kept in addition.  Fewer are
    kept where they do not fit."""
    max_text_chars: int = Field(default=8192, ge=1, le=1 << 20)
    """Longest text, of the request and of a context segment, in characters."""
    max_context_segments: int = Field(default=64, ge=0, le=4096)
    """Most context segments in a request."""
    max_frames: int = Field(default=9000, ge=1, le=100_000)
    """Longest answer in frames of 80 ms, which a request cannot raise: 9000 are twelve minutes, about 8192
    characters."""
