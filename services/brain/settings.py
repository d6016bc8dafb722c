"""Settings of the brain service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import httpx
from pydantic import Field, TypeAdapter, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from oviya.errors import OviyaError
from oviya.mesh.settings import ServiceSettings
from services.brain.tool_spec import ToolSpec

DEFAULT_OPTIONS: dict[str, float | int] = {"num_ctx": 8192, "num_predict": 400, "temperature": 0.7}
"""Default parameters of the model; BRAIN_OLLAMA_OPTIONS overrides them."""

Option = bool | int | float | str | list[str] | None


class BrainSettings(ServiceSettings):
    """Environment variables `BRAIN_...`."""

    model_config = SettingsConfigDict(env_prefix="BRAIN_", hide_input_in_errors=True)

    port: int = Field(default=50052, ge=0, le=65535)
    """gRPC port; 0: a free one, which is logged."""
    backend: Literal["listener", "ollama"] = "listener"
    """"listener": the embedded reflective listener, which needs no weights and no network.  "ollama": a language model;
    the listener answers if it fails."""
    max_text_chars: int = Field(default=8192, ge=1, le=1 << 20)
    """Longest text of the user, and longest earlier turn, in characters."""
    max_history_turns: int = Field(default=400, ge=0, le=10_000)
    """Most earlier turns in a request."""
    max_session_id_chars: int = Field(default=128, ge=1, le=1024)
    """Longest session name in characters."""
    max_replies: int = Field(default=64, ge=1, le=10_000)
    """Replies in progress at the same time; further ones are refused as busy, and the caller retries."""

    # --- Ollama -------------------------------------------------------------------------------------------------------
    ollama_url: str = Field(default="http://localhost:11434", pattern=r"^https?://")
    """Address of the Ollama server, without a path.  A private address is called directly, even if the environment
    names a proxy."""
    ollama_model: str = Field(default="llama3.2", min_length=1, max_length=256)
    """Name of the model, as `ollama list` shows it."""
    ollama_pull: bool = False
    """Whether the server downloads a missing model; the listener answers in the meantime.  Otherwise the service does
    not start without the model."""
    ollama_keep_alive: str = Field(default="30m", max_length=16)
    """How long the server keeps the model loaded after an answer, e.g. "30m" or "2h"; "-1": for ever."""
    ollama_think: Literal["false", "true", "low", "medium", "high", "default"] = "false"
    """Whether the model thinks before it answers, if it can.  Thinking is not spoken, but takes time.  "default": the
    model's default."""
    ollama_options: dict[str, Option] = Field(default_factory=dict, examples=[{"temperature": 0.2}])
    """Parameters of the model as JSON, with Ollama's names, e.g. {"temperature": 0.2}.  They are merged into the
    defaults: num_ctx 8192, the tokens of context; num_predict 400, the tokens of an answer including its thinking; and
    temperature 0.7.  null removes a default."""
    persona: str = Field(default="", max_length=8192)
    """Who the model is, instead of Oviya.  The rules of speaking still apply."""
    first_token_s: float = Field(default=10.0, gt=0, le=300)
    """Longest wait in seconds for a reply's first token."""
    token_gap_s: float = Field(default=5.0, gt=0, le=300)
    """Longest wait in seconds for each further token."""
    first_sentence_s: float = Field(default=12.0, gt=0, le=300)
    """Longest wait in seconds for the first sentence, including thinking; less than the gateway's time-out."""
    connect_s: float = Field(default=2.0, gt=0, le=60)
    """Longest time in seconds for a connection to the server."""
    load_s: float = Field(default=300.0, gt=0, le=3600)
    """Longest time in seconds for loading the model at the start."""
    retry_s: float = Field(default=5.0, gt=0, le=600)
    """Time in seconds before the model is called again after a time-out or a failed connection.  It doubles with each
    further failure, up to `max_retry_s`."""
    max_retry_s: float = Field(default=120.0, gt=0, le=3600)
    """Longest time in seconds before the model is called again after a failure."""
    failures_in_a_row: int = Field(default=3, ge=1, le=1000)
    """Sessions in a row whose replies time out before the model is not called for any session.  Until then, the
    listener answers only in the sessions with a time-out.  One refused connection or a missing model is enough."""
    max_sentence_chars: int = Field(default=240, ge=40, le=2000)
    """Longest sentence in characters; a longer one is cut at a clause or between words."""
    first_clause_chars: int = Field(default=40, ge=0, le=2000)
    """Length in characters from which the first clause is sent before its sentence is complete; 0: never."""
    summary_s: float = Field(default=60.0, gt=0, le=600)
    """Longest time in seconds for a summary."""
    max_summaries: int = Field(default=4, ge=1, le=10_000)
    """Summaries in progress at the same time; further ones are refused as busy, and the caller retries.  They compete
    with replies for the model."""

    # --- Tools --------------------------------------------------------------------------------------------------------
    tools: list[ToolSpec] = Field(
        default_factory=list,
        max_length=32,
        examples=[[{"name": "weather", "description": "Tells the weather.", "url": "http://localhost:9000/weather"}]],
    )
    """Functions that the model may call, as a JSON list of {"name", "description", "parameters", "url", ...}: see
    `services.brain.tool_spec.ToolSpec`.  Empty: none."""
    tools_file: Path | None = Field(default=None, examples=["/etc/oviya/tools.json"])
    """A file with such a list, in addition to `tools`.  Empty: none."""
    tool_rounds: int = Field(default=3, ge=1, le=20)
    """Rounds of tool calls in one reply."""
    tool_calls: int = Field(default=4, ge=1, le=32)
    """Tool calls in one round; further ones are refused."""
    tool_filler_after_s: float = Field(default=0.7, ge=0, le=60)
    """Time in seconds after which a filler sentence is spoken while a tool is slow."""
    tool_fillers: list[str] = Field(
        default_factory=lambda: ["Let me look that up.", "One moment, I am checking.", "Give me a second to find out."]
    )
    """Filler sentences for slow tools, used in turn, as a JSON list; empty: none."""

    @field_validator("ollama_options")
    @classmethod
    def _merge_options(cls, given: dict[str, Option]) -> dict[str, Option]:
        return {name: value for name, value in {**DEFAULT_OPTIONS, **given}.items() if value is not None}

    @field_validator("ollama_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        form = "must be an address such as http://localhost:11434"
        try:
            host = httpx.URL(url).host
        except httpx.InvalidURL as error:
            raise ValueError(form) from error
        if not host:
            raise ValueError(form)
        return url

    @field_validator("tools_file")
    @classmethod
    def _check_tools_file(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_tools(path)
        return path

    def all_tools(self) -> list[ToolSpec]:
        """The tools of `tools` and `tools_file`.

        Raises:
            OviyaError: two tools have the same name.
        """
        tools = [*self.tools, *(read_tools(self.tools_file) if self.tools_file else [])]
        names = [tool.name for tool in tools]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise OviyaError(f"two tools are named {twice[0]}", hint="rename one in BRAIN_TOOLS or BRAIN_TOOLS_FILE")
        return tools


def read_tools(path: Path) -> list[ToolSpec]:
    """Reads a JSON list of tools.

    Raises:
        ValueError: the file cannot be read, or does not contain such a list.
    """
    try:
        return TypeAdapter(list[ToolSpec]).validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValidationError as error:  # its text may contain the headers of a tool
        fault = error.errors(include_input=False, include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
        raise ValueError(f"is not a list of tools: {place or 'the file'} ({fault['type']})") from None
