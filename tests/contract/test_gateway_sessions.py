"""Sessions that are kept: over a restart, as far as they were heard, exported and deleted; and a brain that tells."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import pytest
from google.protobuf.duration_pb2 import Duration

from oviya.client import Oviya
from oviya.errors import InvalidInput, Unsupported
from oviya.v1 import conversation_pb2
from tests.gateway_mesh import gateway_with
from tests.scripted_services import ScriptedBrain

LONG = "This sentence is long enough to be spoken for some seconds, word after word, until somebody says stop."


def kept_in(tmp_path) -> dict[str, Any]:
    return {"session_store": str(tmp_path / "sessions.db")}


async def test_session_survives_a_restart(tmp_path):
    async with gateway_with(ScriptedBrain(("Nice to meet you.", "joyful_excited")), **kept_in(tmp_path)) as gateway:
        await gateway.converse("my name is anna", session_id="anna's")
    brain = ScriptedBrain()
    async with gateway_with(brain, **kept_in(tmp_path)) as gateway:
        await gateway.converse("what is my name", session_id="anna's")
        await gateway.converse("what is my name", session_id="another")
    assert [turn.text for turn in brain.requests[0].history] == ["my name is anna", "Nice to meet you."]
    assert not brain.requests[1].history


async def test_interrupted_reply_is_kept_only_as_far_as_it_was_heard(tmp_path):
    brain = ScriptedBrain((LONG, "neutral"), ("This one is never reached.", "neutral"))
    async with gateway_with(brain, **kept_in(tmp_path)) as gateway:

        def after_a_second(event: conversation_pb2.ConverseResponse) -> bool:
            nonlocal heard_s
            heard_s += len(event.audio.pcm) / 2 / 24_000
            return heard_s > 1.5

        heard_s = 0.0
        await gateway.converse("go", asyncio.sleep(60), session_id="s", lead=Duration(nanos=300_000_000),
                               until=after_a_second)  # fmt: skip
        async with asyncio.timeout(10):
            while gateway.service.conversation.sessions:
                await asyncio.sleep(0.01)
        async with Oviya(gateway.address) as oviya:
            kept = await oviya.export_session("s")
    user, reply = kept.turns
    assert (user.role, user.text, reply.role) == ("user", "go", "assistant")
    assert LONG.startswith(reply.text)
    assert 2 <= len(reply.text.split()) <= 9  # of 18 words in some 6 s, 1.2 to 1.5 s were heard


async def test_session_is_exported_and_deleted(tmp_path):
    async with gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as gateway, Oviya(gateway.address) as oviya:
        await gateway.converse("hello", session_id="s")
        kept = await oviya.export_session("s")
        assert [(turn.role, turn.text) for turn in kept.turns] == [("user", "hello"), ("assistant", "I hear you.")]
        assert kept.turns[0].at <= kept.turns[1].at
        assert await oviya.delete_session("s") == 2
        assert (await oviya.export_session("s")).turns == ()
        assert await oviya.delete_session("s") == 0
        for bad in ("", "x" * 129, "a\nb"):
            with pytest.raises(InvalidInput, match="session_id"):
                await oviya.export_session(bad)
            with pytest.raises(InvalidInput, match="session_id"):
                await oviya.delete_session(bad)


async def test_without_a_store_nothing_is_exported():
    async with gateway_with(ScriptedBrain()) as gateway, Oviya(gateway.address) as oviya:
        await gateway.converse("hello", session_id="s")
        with pytest.raises(Unsupported, match="GATEWAY_SESSION_STORE"):
            await oviya.export_session("s")


async def test_command_line_shows_and_deletes(tmp_path):
    async with gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as gateway:
        await gateway.converse("hello", session_id="s")

        async def oviya(*arguments: str) -> str:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "oviya.cli", "session", *arguments, "--address", gateway.address,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == 0
            return out.decode()

        assert "I hear you." in await oviya("export", "s")
        shown = json.loads(await oviya("export", "s", "--json"))
        assert [turn["text"] for turn in shown["turns"]] == ["hello", "I hear you."]
        assert json.loads(await oviya("delete", "s", "--json")) == {"session_id": "s", "deleted_turns": 2}
        assert "nothing is kept" in await oviya("export", "s")


async def test_store_that_is_away_is_told_and_the_session_goes_on():
    async with gateway_with(ScriptedBrain(), session_store="redis://127.0.0.1:1/0") as gateway:
        heard = await gateway.converse("hello", session_id="s")
        report = gateway.service.readiness.report()
    assert heard.of("reply_ended")
    assert "the session begins without what was said before" in " ".join(
        told.message for told in heard.of("degraded") if told.service == "store"
    )
    assert "store" in [mode["service"] for mode in report["degraded"]]


async def test_brain_in_a_degraded_mode_is_shown_everywhere():
    brain = ScriptedBrain()
    brain.degraded = "ollama: no server answers; the listener answers"
    async with gateway_with(brain, model_refresh_s=0.05) as gateway:
        heard = await gateway.converse("hello", "and again")
        url = f"http://127.0.0.1:{gateway.service.web.port}"
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{url}/readyz") as answer:
                report = await answer.json()
            async with http.get(f"{url}/metrics") as answer:
                metrics = await answer.text()
        told = [event.message for event in heard.of("degraded") if event.service == "brain"]
        assert told == [brain.degraded]  # once while it lasts
        assert {"service": "brain", "message": brain.degraded} in report["degraded"]
        assert report["services"]["brain"]["backend"] == "scripted"
        assert 'oviya_gateway_degraded{service="brain"} 1.0' in metrics
        brain.degraded = ""
        async with asyncio.timeout(5):
            while any(name == "brain" for name, _ in gateway.service.readiness.degraded()):
                await asyncio.sleep(0.02)
