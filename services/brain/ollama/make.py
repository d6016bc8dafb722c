"""Makes the backend as the settings say."""

from __future__ import annotations

from services.brain.ollama.backend import OllamaBackend, ReplyLimits
from services.brain.ollama.client import ChatOptions, OllamaClient
from services.brain.ollama.tools.tool_executor import Tools
from services.brain.settings import BrainSettings

_THINK: dict[str, bool | str | None] = {"false": False, "true": True, "default": None}


def make_ollama(settings: BrainSettings) -> OllamaBackend:
    """The backend of `settings`.

    Raises:
        OviyaError: two tools have the same name.
    """
    chat = ChatOptions(
        model=settings.ollama_model,
        keep_alive=settings.ollama_keep_alive,
        think=_THINK.get(settings.ollama_think, settings.ollama_think),
        first_token_s=settings.first_token_s,
        token_gap_s=settings.token_gap_s,
        options=settings.ollama_options,
    )
    limits = ReplyLimits(
        first_sentence_s=settings.first_sentence_s,
        max_chars=settings.max_sentence_chars,
        first_clause_chars=settings.first_clause_chars,
        tool_rounds=settings.tool_rounds,
        tool_calls=settings.tool_calls,
        filler_after_s=settings.tool_filler_after_s,
        fillers=settings.tool_fillers,
        summary_s=settings.summary_s,
        load_s=settings.load_s,
    )
    return OllamaBackend(
        OllamaClient(settings.ollama_url, chat, connect_s=settings.connect_s),
        Tools(settings.all_tools()),
        limits,
        persona=settings.persona,
        model=settings.ollama_model,
        pull=settings.ollama_pull,
    )
