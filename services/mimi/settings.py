"""Settings of the Mimi service, read from MIMI_* environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from oviya.mesh.settings import AutoCount, ServiceSettings


class MimiSettings(ServiceSettings):
    """What to load, where to run it and how much a caller may send."""

    model_config = SettingsConfigDict(env_prefix="MIMI_")

    port: int = Field(default=50055, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    max_concurrent_rpcs: int = Field(default=8192, ge=1, le=100_000)
    """Calls that may run at once; one more is refused with RESOURCE_EXHAUSTED.  The slots refuse first."""
    checkpoint: str = ""
    """A folder in transformers' layout, or an id of the hub such as "kyutai/mimi"; of a CSM checkpoint, its Mimi is
    used.  It counts as trained unless a model_card.json in it says otherwise.  Empty: the demo voice's, which ships in
    models/demo-mimi; "random": small random weights, which speak noise."""
    device: str = "auto"
    """"auto" (the first GPU, else the CPU) or a torch device such as "cuda:1"."""
    program: Literal["auto", "torch"] = "auto"
    """How a GPU works: "auto" records the steps as CUDA graphs of our own kernels, "torch" is plain."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of a step.  A small checkpoint is fastest on one; kyutai/mimi gains from two."""
    decode_streams: AutoCount = Field(default="auto", ge=1, le=4096, validate_default=True)
    """Utterances that are decoded at once; further ones are refused with RESOURCE_EXHAUSTED.  Each takes 9 MB with
    kyutai/mimi.  "auto" is 8 on a CPU; on a GPU, as many as fit a quarter of its free memory, at most 512.  GetModel
    says what was chosen."""
    encode_streams: AutoCount = Field(default="auto", ge=1, le=4096, validate_default=True)
    """Utterances that are encoded at once; further ones are refused with RESOURCE_EXHAUSTED.  "auto" is 4 on a CPU and
    a quarter of the decoded ones on a GPU."""
    watermark: str = ""
    """What marks decoded sound, as "module:factory": "services.mimi.spread_spectrum:SpreadSpectrum", or an operator's
    own (services/mimi/watermark.py says what it must be).  Empty: sound is not marked."""
    watermark_key: SecretStr = SecretStr("")
    """Secret of the watermark: what was marked with a key is found with that key alone."""
    max_frames_per_message: int = Field(default=375, ge=1, le=100_000)
    """Most RVQ frames in one Decode message; 375 are 30 s."""
    max_stream_s: float = Field(default=600.0, ge=1.0, le=86_400.0)
    """Longest utterance in seconds of its sound, either way."""
    stall_s: float = Field(default=30.0, gt=0, le=3600.0)
    """Longest wait in seconds for a stream's next message; its slot is free after it."""
