"""What a session remembers: turns as they were, and summaries of older ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from oviya.errors import Timeout, Unavailable
from oviya.v1 import brain_pb2
from services.gateway.memory import store_queue
from services.gateway.memory.memory import MAX_TURNS, Memory
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.memory.sqlite import SqliteStore
from services.gateway.memory.store import KeptSession
from tests.support.stores import Away


class Summarizer:
    """Joins the turns, once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.requests: list[brain_pb2.SummarizeRequest] = []
        self.fail = False

    async def __call__(self, request: brain_pb2.SummarizeRequest) -> brain_pb2.SummarizeResponse:
        self.requests.append(request)
        await self.may.wait()
        if self.fail:
            raise Timeout("too slow")
        return brain_pb2.SummarizeResponse(summary=request.summary + "".join(turn.text for turn in request.turns))


def talk(memory: Memory, first: int, last: int) -> None:
    for number in range(first, last):
        memory.add_user(f"u{number}")
        memory.add_reply([f"r{number}"])
        memory.shorten()


def texts(memory: Memory) -> list[str]:
    return [turn.text for turn in memory.turns()]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_turns_are_kept_in_order_and_empty_ones_are_not():
    memory = Memory("s", SessionRepository(None), Summarizer(), verbatim=20)
    memory.add_user("one")
    memory.add_reply([])
    memory.add_user("  ")
    memory.add_reply(["Two.", "Three."])
    memory.add_user("x" * 9000)
    assert [(turn.role, turn.text) for turn in memory.turns()] == [
        (brain_pb2.ROLE_USER, "one"), (brain_pb2.ROLE_ASSISTANT, "Two. Three."), (brain_pb2.ROLE_USER, "x" * 8192),
    ]  # fmt: skip
    await memory.close()


async def test_nothing_is_remembered_where_nothing_shall_be():
    summarizer = Summarizer()
    memory = Memory("s", SessionRepository(None), summarizer, verbatim=0)
    talk(memory, 0, 10)
    await memory.close()
    assert (memory.turns(), memory.summary, summarizer.requests) == ([], "", [])


async def test_older_turns_are_given_as_they_were_until_their_summary_is_there():
    summarizer = Summarizer()
    summarizer.may.clear()
    memory = Memory("s", SessionRepository(None), summarizer, verbatim=4)
    talk(memory, 0, 4)
    await settle()
    assert len(summarizer.requests) == 1
    assert (memory.summary, texts(memory)) == ("", ["u0", "r0", "u1", "r1", "u2", "r2", "u3", "r3"])
    talk(memory, 4, 5)
    assert len(summarizer.requests) == 1  # one at a time
    summarizer.may.set()
    await settle()
    assert memory.summary == "u0r0"
    talk(memory, 5, 6)
    await settle()
    assert memory.summary + "".join(texts(memory)) == "".join(f"u{n}r{n}" for n in range(6))
    assert summarizer.requests[1].summary == "u0r0"
    await memory.close()


async def test_failed_summary_loses_nothing_and_is_tried_again():
    summarizer = Summarizer()
    summarizer.fail = True
    memory = Memory("s", SessionRepository(None), summarizer, verbatim=2)
    talk(memory, 0, 3)
    await settle()
    assert len(texts(memory)) == 6
    summarizer.fail = False
    talk(memory, 3, 4)
    await settle()
    assert memory.summary + "".join(texts(memory)) == "u0r0u1r1u2r2u3r3"
    summarizer.fail = True
    for number in range(MAX_TURNS):
        talk(memory, number, number + 1)
        await settle()
    assert len(memory.turns()) == MAX_TURNS  # what the brain takes
    await memory.close()


def joined(memory: Memory) -> str:
    return memory.summary + "".join(texts(memory))


@asynccontextmanager
async def keeping(path: Path) -> AsyncIterator[SessionRepository]:
    repository = SessionRepository(SqliteStore(path))
    await repository.start()
    try:
        yield repository
    finally:
        await repository.close()


async def opened(
    repository: SessionRepository, token: str = "", *, name: str = "s", summarizer: Summarizer | None = None
) -> Memory:
    memory = Memory(name, repository, summarizer or Summarizer(), verbatim=4, token=token)
    await memory.load()
    return memory


async def summarized(memory: Memory) -> None:
    """Waits for the summary that is being made."""
    while memory._summarizing is not None and not memory._summarizing.done():  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0.005)


async def test_session_goes_on_where_it_ended(tmp_path):
    async with keeping(tmp_path / "s.db") as repository:
        memory = await opened(repository)
        talk(memory, 0, 5)
        await summarized(memory)
        await memory.close()
    async with keeping(tmp_path / "s.db") as repository:
        again, other = await opened(repository, memory.resume_token), await opened(repository, name="t")
        assert again.summary == memory.summary != ""
        assert texts(again) == texts(memory)
        assert texts(other) == []
        assert await repository.delete("s", memory.resume_token) == 10  # also what is open forgets
        assert (again.summary, texts(again)) == ("", [])
        again.add_user("after")
        assert [turn.text for turn in (await repository.export("s", again.resume_token)).turns] == ["after"]
        await again.close()
        await other.close()


async def test_deleting_while_a_summary_is_made_leaves_nothing_behind(tmp_path):
    async with keeping(tmp_path / "s.db") as repository:
        summarizer = Summarizer()
        summarizer.may.clear()
        memory = await opened(repository, summarizer=summarizer)
        talk(memory, 0, 4)
        while not summarizer.requests:
            await asyncio.sleep(0.005)
        await repository.delete("s", memory.resume_token)
        summarizer.may.set()
        await summarized(memory)
        assert (memory.summary, texts(memory)) == ("", [])
        assert await repository.export("s", memory.resume_token) == KeptSession()
        await memory.close()


async def test_reply_that_is_spoken_during_a_deletion_is_not_remembered(tmp_path):
    async with keeping(tmp_path / "s.db") as repository:
        memory = await opened(repository)
        memory.add_user("a secret")
        await repository.delete("s", memory.resume_token)
        memory.add_reply(["You told me a secret."])
        assert await repository.export("s", memory.resume_token) == KeptSession()
        assert texts(memory) == []
        memory.add_user("hello")
        memory.add_reply(["Hi."])
        assert [turn.text for turn in (await repository.export("s", memory.resume_token)).turns] == ["hello", "Hi."]
        await memory.close()


async def test_deletion_by_another_gateway_is_not_undone(tmp_path):
    async with keeping(tmp_path / "s.db") as repository, keeping(tmp_path / "s.db") as elsewhere:
        memory = await opened(repository)
        talk(memory, 0, 2)
        await repository.flush(5)
        assert await elsewhere.delete("s", memory.resume_token) == 4
        memory.add_user("late")
        await repository.flush(5)
        assert (memory.summary, texts(memory)) == ("", [])
        memory.add_reply(["This answers what was said before."])
        assert await elsewhere.export("s", memory.resume_token) == KeptSession()
        await memory.close()


@pytest.mark.parametrize("gateways", [1, 2])
async def test_two_connections_under_one_name_lose_no_turn(tmp_path, gateways):
    async with AsyncExitStack() as stack:
        repositories = [await stack.enter_async_context(keeping(tmp_path / "s.db")) for _ in range(gateways)]
        one = await opened(repositories[0])
        two = await opened(repositories[-1], one.resume_token)
        said: list[str] = []
        for number in range(8):
            for name, memory in (("one", one), ("two", two)):
                said += [f"<{name} asks {number}>", f"<{name} hears {number}>"]
                memory.add_user(said[-2])
                memory.add_reply([said[-1]])
                memory.shorten()
                await summarized(memory)
                for repository in repositories:
                    await repository.flush(5)
        assert len(said) == 32
        for memory in (one, two):
            assert memory.summary
        kept = await repositories[0].export("s", one.resume_token)
        assert [turn.text for turn in kept.turns] == said
        third = await opened(repositories[0], one.resume_token)
        assert joined(third) == "".join(said)  # in the summary or as it was, each once
        # and those that are open know what the other one said until the last time that they wrote
        assert joined(two) == "".join(said)
        for memory in (one, two, third):
            await memory.close()


async def test_store_that_was_away_at_the_start_keeps_its_summary_and_gets_what_was_said(tmp_path, monkeypatch):
    monkeypatch.setattr(store_queue, "RETRY_S", 0.02)
    monkeypatch.setattr(store_queue, "READ_S", 0.2)
    async with keeping(tmp_path / "s.db") as repository:
        memory = await opened(repository)
        talk(memory, 0, 8)
        await summarized(memory)
        before, token = joined(memory), memory.resume_token
        await memory.close()
    store: Any = Away(SqliteStore(tmp_path / "s.db"))
    repository = SessionRepository(store)
    await repository.start()
    again = Memory("s", repository, Summarizer(), verbatim=4, token=token)
    with pytest.raises(Unavailable):
        await again.load()
    for number in range(8, 16):
        talk(again, number, number + 1)
        await summarized(again)
    assert "u0" not in joined(again)
    store.gone = False
    assert await repository.flush(10) == 0
    monkeypatch.setattr(store_queue, "READ_S", 5.0)
    kept = await repository.export("s", token)
    assert [turn.text for turn in kept.turns] == [f"{who}{n}" for n in range(16) for who in "ur"]
    for part in [before, *(f"{who}{n}" for n in range(16) for who in "ur")]:
        assert part in joined(again)
    talk(again, 16, 17)
    await summarized(again)
    await again.close()
    last = await opened(repository, token)
    for n in range(17):
        assert f"u{n}r{n}" in joined(last)
    await last.close()
    await repository.close()


async def test_store_that_goes_away_and_comes_back_has_every_turn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(store_queue, "RETRY_S", 0.02)
    monkeypatch.setattr(store_queue, "READ_S", 0.2)
    store: Any = Away(SqliteStore(tmp_path / "s.db"), gone=False)
    repository = SessionRepository(store)
    await repository.start()
    memory = await opened(repository)
    for number in range(12):
        store.gone = 3 <= number < 9
        talk(memory, number, number + 1)
        await summarized(memory)
    assert await repository.flush(10) == 0
    monkeypatch.setattr(store_queue, "READ_S", 5.0)
    everything = "".join(f"u{n}r{n}" for n in range(12))
    kept = await repository.export("s", memory.resume_token)
    assert "".join(turn.text for turn in kept.turns) == everything
    again = await opened(repository, memory.resume_token)
    for n in range(12):
        assert f"u{n}r{n}" in joined(again)
    await memory.close()
    await again.close()
    await repository.close()
