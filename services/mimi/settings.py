"""Settings of the Mimi service, read from MIMI_* environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from oviya.mesh.settings import AutoCount, ServiceSettings


class MimiSettings(ServiceSettings):
    """Environment variables `MIMI_...`."""

    model_config = SettingsConfigDict(env_prefix="MIMI_")

    port: int = Field(default=50055, ge=0, le=65535)
    """gRPC port; 0 picks a free one and logs it."""
    max_concurrent_rpcs: int = Field(default=8192, ge=1, le=100_000)
    """Most calls at once; further calls get RESOURCE_EXHAUSTED.  The limits of streams below are reached first."""
    checkpoint: str = ""
    """A folder in transformers' layout, or a hub id such as "kyutai/mimi"; of a CSM checkpoint, its Mimi is used.  It
    counts as trained unless its model_card.json says otherwise.  Empty: the demo voice in models/demo-mimi; "random":
    small random weights, whose output is noise."""
    device: str = "auto"
    """"auto" (the first GPU, else the CPU) or a torch device such as "cuda:1"."""
    program: Literal["auto", "torch"] = "auto"
    """How a GPU runs the model: "auto" uses CUDA graphs of our own kernels, "torch" uses torch's operations."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of a step.  A small checkpoint is fastest with one; kyutai/mimi is faster with two."""
    decode_streams: AutoCount = Field(default="auto", ge=1, le=4096, validate_default=True)
    """Most utterances decoded at once; further ones get RESOURCE_EXHAUSTED.  Each takes 9 MB with kyutai/mimi.  "auto"
    is 8 on a CPU; on a GPU, as many as fit a quarter of its free memory, at most 512.  GetModel reports the number."""
    encode_streams: AutoCount = Field(default="auto", ge=1, le=4096, validate_default=True)
    """Most utterances encoded at once; further ones get RESOURCE_EXHAUSTED.  "auto" is 4 on a CPU, and a quarter of
    `decode_streams` on a GPU."""
    watermark: str = ""
    """What marks decoded sound, as "module:factory": "services.mimi.spread_spectrum:SpreadSpectrum", or an operator's
    own (services/mimi/watermark.py describes the interface).  Empty: sound is not marked."""
    watermark_key: SecretStr = SecretStr("")
    """Secret of the watermark; a mark can be detected only with the key that it was made with."""
    max_frames_per_message: int = Field(default=375, ge=1, le=100_000)
    """Most RVQ frames in a Decode message; 375 are 30 s."""
    max_stream_s: float = Field(default=600.0, ge=1.0, le=86_400.0)
    """Longest utterance in seconds, in both directions."""
    stall_s: float = Field(default=30.0, gt=0, le=3600.0)
    """Longest wait in seconds for a stream's next message; after it the stream ends with an error."""
