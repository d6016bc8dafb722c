"""Open sessions for tests: a repository that is started, and a memory that records its calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.gateway.memory.session_handle import SessionHandle
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.memory.store import KeptSession


class Listening:
    """A memory that notes what it is told."""

    def __init__(self, repository: SessionRepository, name: str, token: str = "", *, fresh: bool = False) -> None:
        self.repository = repository
        self.numbers: dict[str, int] = {}
        self.merged: list[KeptSession] = []
        self.forgotten = 0
        self.handle = repository.register(self, name, token, fresh=fresh)

    def numbered(self, handle: SessionHandle, uid: str, number: int) -> None:
        self.numbers[uid] = number

    def merge(self, handle: SessionHandle, kept: KeptSession) -> None:
        self.merged.append(kept)

    def forget(self, handle: SessionHandle) -> None:
        self.forgotten += 1
        self.handle = self.repository.renew(handle)

    def say(self, text: str) -> None:
        self.repository.add(self.handle, "user", text)


@asynccontextmanager
async def repository_of(store: Any, **options: Any) -> AsyncIterator[SessionRepository]:
    repository = SessionRepository(store, **options)
    await repository.start()
    try:
        yield repository
    finally:
        await repository.close()


async def exported(repository: SessionRepository, name: str, token: str) -> list[str]:
    return [turn.text for turn in (await repository.export(name, token)).turns]
