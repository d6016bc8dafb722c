"""Sessions in Redis: for several gateways, any of which may go on with a session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oviya.errors import OviyaError
from services.gateway.store.base import DAY_S, KeptSession, KeptTurn, StoreError

TIMEOUT_S = 2.0
"""Longest time for a connection or an answer."""


class RedisStore:
    """A store in Redis: a list of turns and a hash with the summary for each session.

    Args:
        url: redis://[user:password@]host[:port][/database], or rediss:// for TLS.
        keep_days: days after a session's last turn at which it is forgotten; 0: never.

    Raises:
        OviyaError: the `redis` package is not installed, or the URL cannot be used.
    """

    def __init__(self, url: str, *, keep_days: float) -> None:
        try:
            from redis import asyncio as redis
            from redis.exceptions import RedisError
        except ImportError as error:
            raise OviyaError("the redis package is missing", hint="pip install 'oviya[gateway-redis]'") from error
        self._failure = RedisError
        self._keep_s = round(keep_days * DAY_S)
        try:
            self._redis: Any = redis.from_url(
                url, decode_responses=True, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
            )
        except ValueError as error:
            raise OviyaError(f"GATEWAY_SESSION_STORE cannot be used: {error}") from error

    async def open(self) -> None:
        with self._failures():
            await self._redis.ping()

    async def load(self, session_id: str) -> KeptSession:
        with self._failures():
            async with self._redis.pipeline(transaction=True) as both:
                both.lrange(_turns(session_id), 0, -1)
                both.hgetall(_about(session_id))
                turns, about = await both.execute()
        kept = tuple(KeptTurn(**json.loads(turn)) for turn in turns)
        return KeptSession(kept, about.get("summary", ""), int(about.get("summarized", 0)))

    async def append(self, session_id: str, turn: KeptTurn) -> None:
        value = json.dumps({"at": turn.at, "role": turn.role, "text": turn.text})
        with self._failures():
            async with self._redis.pipeline(transaction=True) as both:
                both.rpush(_turns(session_id), value)
                if self._keep_s:
                    both.expire(_turns(session_id), self._keep_s)
                    both.expire(_about(session_id), self._keep_s)
                await both.execute()

    async def set_summary(self, session_id: str, summary: str, summarized: int) -> None:
        with self._failures():
            async with self._redis.pipeline(transaction=True) as both:
                both.hset(_about(session_id), mapping={"summary": summary, "summarized": summarized})
                if self._keep_s:
                    both.expire(_about(session_id), self._keep_s)
                await both.execute()

    async def delete(self, session_id: str) -> int:
        with self._failures():
            async with self._redis.pipeline(transaction=True) as both:
                both.llen(_turns(session_id))
                both.delete(_turns(session_id), _about(session_id))
                count, _ = await both.execute()
        return int(count)

    async def close(self) -> None:
        with self._failures():
            await self._redis.aclose()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (self._failure, OSError) as error:
            raise StoreError(f"redis: {error}") from error


def _turns(session_id: str) -> str:
    return f"oviya:session:{session_id}:turns"


def _about(session_id: str) -> str:
    return f"oviya:session:{session_id}:about"
