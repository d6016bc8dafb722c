"""Sessions in Redis (6.2 or later), shared by several gateways."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oviya.errors import OviyaError
from services.gateway.memory import redis_scripts as scripts
from services.gateway.memory.store import (
    DAY_S,
    AppendResult,
    Claim,
    CorruptRecord,
    KeptSession,
    KeptTurn,
    PruneResult,
    StoreError,
    StoreLimits,
    hash_name,
    new_id,
)

TIMEOUT_S = 2.0
"""Timeout in seconds for connections and replies."""


class RedisStore:
    """A store in Redis; `redis_scripts` describes the keys.

    Args:
        url: redis://[user:password@]host[:port][/database], or rediss:// for TLS.

    Raises:
        OviyaError: the `redis` package is not installed, or the URL cannot be used.
    """

    def __init__(self, url: str, limits: StoreLimits | None = None) -> None:
        try:
            from redis import asyncio as redis
            from redis.exceptions import RedisError
        except ImportError as error:
            raise OviyaError("the redis package is missing", hint="pip install 'oviya[gateway-redis]'") from error
        self._failure = RedisError
        self._limits = limits or StoreLimits()
        self._keep_s = round(self._limits.keep_days * DAY_S)
        try:
            self._redis: Any = redis.from_url(
                url, decode_responses=True, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
            )
        except ValueError as error:
            raise OviyaError("GATEWAY_SESSION_STORE is not a Redis URL", hint="redis://host:6379/0") from error
        self._claim = self._redis.register_script(scripts.CLAIM)
        self._load = self._redis.register_script(scripts.LOAD)
        self._append = self._redis.register_script(scripts.APPEND)
        self._set_summary = self._redis.register_script(scripts.SET_SUMMARY)
        self._delete = self._redis.register_script(scripts.DELETE)
        self._prune = self._redis.register_script(scripts.PRUNE)

    async def open(self) -> None:
        with self._failures():
            await self._redis.ping()

    async def claim(self, session_id: str, secret: str, *, since: float, now: float) -> Claim | None:
        keys = [_about(session_id), _turns(session_id), scripts.DELETED_NAME + hash_name(session_id)]
        with self._failures():
            claimed = await self._claim(keys, [new_id(), secret, since])
        return Claim(*claimed) if claimed else None

    async def load(self, session_id: str, *, after: int | None = None, limit: int = 0) -> KeptSession | None:
        with self._failures():
            loaded = await self._load([_about(session_id), _turns(session_id)], ["" if after is None else after, limit])
        if not loaded:
            return None
        generation, secret, first, summary, summarized, turns = loaded
        kept = tuple(_read_turn(turn, number) for number, turn in enumerate(turns, int(first) + 1))
        return KeptSession(kept, summary, int(summarized), generation, secret)

    async def append(self, session_id: str, claimed: Claim, turn: KeptTurn, *, last: int = 0) -> AppendResult:
        value = json.dumps({"at": turn.at, "role": turn.role, "text": turn.text, "uid": turn.uid}, ensure_ascii=False)
        keys = [
            *(_about(session_id), _turns(session_id), scripts.DELETED_GENERATION + claimed.generation),
            *(scripts.INDEX, scripts.BYTES, scripts.TOTAL),
        ]
        limits = self._limits
        with self._failures():
            outcome, number, dropped, full = await self._append(
                keys,
                [
                    *(claimed.generation, claimed.secret, value, turn.uid, turn.at, self._keep_s),
                    *(limits.max_turns, limits.max_sessions, limits.max_bytes, session_id, last),
                ],
            )
        return AppendResult(outcome, int(number), int(dropped), bool(full))

    async def set_summary(self, session_id: str, generation: str, summary: str, summarized: int) -> bool:
        with self._failures():
            return bool(await self._set_summary([_about(session_id)], [generation, summary, summarized]))

    async def delete(self, session_id: str, claimed: Claim, *, now: float) -> int | None:
        keys = [
            *(_about(session_id), _turns(session_id), scripts.DELETED_GENERATION + claimed.generation),
            *(scripts.DELETED_NAME + hash_name(session_id), scripts.INDEX, scripts.BYTES, scripts.TOTAL),
        ]
        with self._failures():
            turns = int(await self._delete(keys, [claimed.generation, claimed.secret, now, session_id]))
        return None if turns < 0 else turns

    async def deleted(self, session_id: str, secret: str) -> bool:
        with self._failures():
            known = await self._redis.hget(scripts.DELETED_NAME + hash_name(session_id), "secret")
        return known is not None and hmac.compare_digest(known, secret)

    async def prune(self, now: float) -> PruneResult:
        oldest = now - self._keep_s if self._keep_s else ""
        values = [oldest, self._limits.max_sessions, self._limits.max_bytes]
        with self._failures():
            return PruneResult(*await self._prune([scripts.INDEX, scripts.BYTES, scripts.TOTAL], values))

    async def close(self) -> None:
        with self._failures():
            await self._redis.aclose()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (self._failure, OSError) as error:
            kind = CorruptRecord if str(error).startswith("WRONGTYPE") else StoreError
            raise kind(f"redis: {error}") from error


def _read_turn(value: str, number: int) -> KeptTurn:
    try:
        turn = json.loads(value)
        # Earlier versions wrote no uid.
        return KeptTurn(turn["at"], turn["role"], turn["text"], turn.get("uid") or f"number {number}", number)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptRecord(f"redis: turn {number} of a session cannot be read") from error


def _turns(session_id: str) -> str:
    return f"{scripts.PREFIX}{session_id}:turns"


def _about(session_id: str) -> str:
    return f"{scripts.PREFIX}{session_id}:about"
