"""The Ollama backend with its failover, as the service makes it, and a local server with Ollama's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from services.brain.backend import Backend, Exchange, Sentence
from services.brain.server import make_backend
from services.brain.settings import BrainSettings
from tests.support.ollama_server import OllamaServer

FAST: dict[str, Any] = {"first_token_s": 2.0, "token_gap_s": 2.0, "first_sentence_s": 4.0, "retry_s": 3.0}
SAD = Exchange("i feel so sad and lonely today", user_emotion="lonely")
REPLY = "[empathetic_sad] I am so sorry. [curious] What happened?"


def settings(url: str, **changes: Any) -> BrainSettings:
    return BrainSettings(**{"backend": "ollama", "ollama_url": url, **FAST, **changes})


@asynccontextmanager
async def brain(server: OllamaServer, **changes: Any) -> AsyncIterator[Backend]:
    """The warm backend, as the service makes it."""
    async with server.serving():
        backend = make_backend(settings(server.url, **changes))
        try:
            await backend.warm()
            yield backend
        finally:
            await backend.close()


async def ask(backend: Backend, exchange: Exchange = SAD) -> list[Sentence]:
    async with asyncio.timeout(90), aclosing(backend.reply(exchange)) as sentences:
        return [sentence async for sentence in sentences]
