"""Settings of the CSM service, read from CSM_* environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from oviya.mesh.settings import ServiceSettings


class CsmSettings(ServiceSettings):
    """What to load, where to run it and what a request may ask for."""

    model_config = SettingsConfigDict(env_prefix="CSM_")

    port: int = Field(default=50054, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    checkpoint: str = ""
    """A folder in transformers' layout, or an id of the hub such as "sesame/csm-1b".  It counts as trained unless a
    model_card.json in it says otherwise.  Empty: a small random one is made at start, which speaks noise."""
    device: str = "auto"
    """"auto" (the first GPU, else the CPU) or a torch device such as "cuda:1"."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; "auto" is float32 on the CPU and bfloat16 elsewhere."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of a step.  A small checkpoint is fastest on one."""
    slots: int = Field(default=4, ge=1, le=4096)
    """Requests that run at once; further ones are refused at once with RESOURCE_EXHAUSTED."""
    lead_s: float = Field(default=1.5, ge=0, le=600)
    """How far ahead of real time frames are sent, in seconds, unless a request says otherwise; 0: no limit."""
    temperature: float = Field(default=0.9, ge=0, le=2)
    """Sampling temperature where a request does not say."""
    top_k: int = Field(default=50, ge=1, le=2048)
    """Codes to draw from where a request does not say; a smaller codebook lowers it."""
    prefill_chunk: int = Field(default=256, ge=1, le=8192)
    """Positions of a new request's prompt that are run between two frames of the others."""
    max_text_chars: int = Field(default=8192, ge=1, le=1 << 20)
    """Longest text, of the request and of a context segment, in characters."""
    max_context_segments: int = Field(default=64, ge=0, le=4096)
    """Most context segments in a request."""
    max_frames: int = Field(default=1500, ge=1, le=100_000)
    """Longest answer in frames of 80 ms, whatever a request asks for: 1500 are two minutes."""
