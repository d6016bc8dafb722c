"""What a session remembers: turns as they were, summaries, and replies as far as they were heard."""

from __future__ import annotations

import asyncio

import pytest

from oviya.errors import Timeout
from oviya.v1 import brain_pb2
from services.gateway.heard import heard_sentences
from services.gateway.memory import MAX_TURNS, Memory
from services.gateway.speech import Spoken
from services.gateway.store import Keeper
from services.gateway.store.sqlite import SqliteStore


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
    memory = Memory("s", Keeper(None), Summarizer(), verbatim=20)
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
    memory = Memory("s", Keeper(None), summarizer, verbatim=0)
    talk(memory, 0, 10)
    await memory.close()
    assert (memory.turns(), memory.summary, summarizer.requests) == ([], "", [])


async def test_older_turns_are_given_as_they_were_until_their_summary_is_there():
    summarizer = Summarizer()
    summarizer.may.clear()
    memory = Memory("s", Keeper(None), summarizer, verbatim=4)
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
    memory = Memory("s", Keeper(None), summarizer, verbatim=2)
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


async def test_session_goes_on_where_it_ended(tmp_path):
    keeper = Keeper(SqliteStore(tmp_path / "s.db", keep_days=0))
    await keeper.start()
    memory = Memory("s", keeper, Summarizer(), verbatim=4)
    await memory.load()
    talk(memory, 0, 5)
    await settle()
    await memory.close()
    await keeper.close()

    keeper = Keeper(SqliteStore(tmp_path / "s.db", keep_days=0))
    await keeper.start()
    again, other = Memory("s", keeper, Summarizer(), verbatim=4), Memory("t", keeper, Summarizer(), verbatim=4)
    await again.load()
    await other.load()
    assert again.summary == memory.summary != ""
    assert texts(again) == texts(memory)
    assert texts(other) == []
    assert await keeper.delete("s") == 10  # also what is open forgets
    assert (again.summary, texts(again)) == ("", [])
    await keeper.close()


async def test_deleting_while_a_summary_is_made_leaves_nothing_behind(tmp_path):
    keeper, summarizer = Keeper(SqliteStore(tmp_path / "s.db", keep_days=0)), Summarizer()
    await keeper.start()
    summarizer.may.clear()
    memory = Memory("s", keeper, summarizer, verbatim=2)
    await memory.load()
    talk(memory, 0, 3)
    await settle()
    await keeper.delete("s")
    summarizer.may.set()
    await settle()
    assert (memory.summary, texts(memory)) == ("", [])
    assert (await keeper.export("s")).summary == ""
    await memory.close()
    await keeper.close()


TEN = "one two three four five six seven eight nine ten"


def spoken(*sentences: tuple[str, float], finished: int) -> Spoken:
    reply = Spoken(finished=finished)
    for text, length_s in sentences:
        reply.sentences.append(text)
        reply.starts_s.append(reply.duration_s)
        reply.duration_s += length_s
    return reply


@pytest.mark.parametrize(
    ("unplayed_s", "heard"),
    [
        (0.0, ["First one.", TEN]),
        (2.0, ["First one.", "one two three four five"]),
        (3.9, ["First one."]),
        (4.0, ["First one."]),
        (4.5, ["First"]),
        (5.0, []),
        (9.0, []),
    ],
)
def test_interrupted_reply_was_heard_as_far_as_it_was_played(unplayed_s, heard):
    assert heard_sentences(spoken(("First one.", 1.0), (TEN, 4.0), finished=2), unplayed_s) == heard


def test_sentence_whose_sound_was_not_made_to_its_end_was_not_heard_to_its_end():
    half = len(TEN) / 15.0 / 2
    assert heard_sentences(spoken((TEN, half), finished=0), 0.0) == ["one two three four five"]
    assert heard_sentences(Spoken(), 0.0) == []


@pytest.mark.parametrize(
    ("share", "heard"),
    [(0.0, []), (0.3, ["It costs"]), (0.7, ["It costs \u20ac9.99"]), (0.75, ["It costs \u20ac9.99 at"])],
)
def test_an_interrupted_sentence_is_remembered_as_written_word_by_word_as_long_as_each_is_said(share, heard):
    text = "It costs \u20ac9.99 at example.com."
    assert heard_sentences(spoken((text, 5.0), finished=1), 5.0 * (1 - share)) == heard


def test_an_interrupted_sentence_without_blanks_is_remembered_character_by_character():
    assert heard_sentences(spoken(("\u4f60\u597d\u4e16\u754c", 4.0), finished=1), 2.0) == ["\u4f60\u597d"]
