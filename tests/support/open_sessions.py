"""Open sessions for tests: a keeper that is started, and a memory that records its calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import REGISTRY

from services.gateway.memory.hold import Hold
from services.gateway.memory.keeper import Keeper
from services.gateway.memory.store import KeptSession


class Listening:
    """A memory that notes what it is told."""

    def __init__(self, keeper: Keeper, name: str, token: str = "", *, fresh: bool = False) -> None:
        self.keeper = keeper
        self.numbers: dict[str, int] = {}
        self.merged: list[KeptSession] = []
        self.forgotten = 0
        self.hold = keeper.hold(self, name, token, fresh=fresh)

    def numbered(self, hold: Hold, uid: str, number: int) -> None:
        self.numbers[uid] = number

    def merge(self, hold: Hold, kept: KeptSession) -> None:
        self.merged.append(kept)

    def forget(self, hold: Hold) -> None:
        self.forgotten += 1
        self.hold = self.keeper.renew(hold)

    def say(self, text: str) -> None:
        self.keeper.add(self.hold, "user", text)


@asynccontextmanager
async def keeper_of(store: Any, **options: Any) -> AsyncIterator[Keeper]:
    keeper = Keeper(store, **options)
    await keeper.start()
    try:
        yield keeper
    finally:
        await keeper.close()


async def exported(keeper: Keeper, name: str, token: str) -> list[str]:
    return [turn.text for turn in (await keeper.export(name, token)).turns]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
