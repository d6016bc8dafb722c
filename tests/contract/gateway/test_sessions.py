"""Sessions that are kept: over a restart, as far as they were heard, exported and deleted; and a brain that tells."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest
import structlog
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.audio.pcm import S16LE, decode_pcm
from oviya.audio.wav import write_wav
from oviya.client import Oviya
from oviya.errors import InvalidInput, OviyaError, PermissionDenied, Unsupported
from oviya.mesh.logs import configure_logs
from oviya.mesh.redaction import log_id
from oviya.v1 import conversation_pb2
from services.gateway.memory.memory import Memory
from services.gateway.settings import GatewaySettings
from tests.support.gateway_mesh import Heard, failure_of, gateway_with, speech
from tests.support.scripted_services import RATE_HZ, ScriptedBrain, ScriptedStt
from tests.support.waiting import until

LONG = "This sentence is long enough to be spoken for some seconds, word after word, until somebody says stop."


def kept_in(tmp_path) -> dict[str, Any]:
    return {"session_store": str(tmp_path / "sessions.db")}


def token_of(heard: Heard) -> str:
    (started,) = heard.of("session_started")
    return started.resume_token


async def test_session_survives_a_restart(tmp_path):
    async with gateway_with(ScriptedBrain(("Nice to meet you.", "joyful_excited")), **kept_in(tmp_path)) as gateway:
        heard = await gateway.converse("my name is anna", session_id="anna's")
    brain = ScriptedBrain()
    async with gateway_with(brain, **kept_in(tmp_path)) as gateway:
        await gateway.converse("what is my name", session_id="anna's", resume_token=token_of(heard))
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
        heard = await gateway.converse("go", asyncio.sleep(60), session_id="s", lead=Duration(nanos=300_000_000),
                                       until=after_a_second)  # fmt: skip
        await until(lambda: not gateway.service.conversation.sessions, within_s=20)
        async with Oviya(gateway.address) as oviya:
            kept = await oviya.export_session("s", token_of(heard))
    user, reply = kept.turns
    assert (user.role, user.text, reply.role) == ("user", "go", "assistant")
    assert LONG.startswith(reply.text)
    assert 2 <= len(reply.text.split()) <= 9  # of 18 words in some 6 s, 1.2 to 1.5 s were heard


async def test_session_is_exported_and_deleted(tmp_path):
    async with gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as gateway, Oviya(gateway.address) as oviya:
        token = token_of(await gateway.converse("hello", session_id="s"))
        kept = await oviya.export_session("s", token)
        assert [(turn.role, turn.text) for turn in kept.turns] == [("user", "hello"), ("assistant", "I hear you.")]
        assert kept.turns[0].at <= kept.turns[1].at
        assert await oviya.delete_session("s", token) == 2
        assert (await oviya.export_session("s", token)).turns == ()
        assert await oviya.delete_session("s", token) == 0
        for bad in ("", "x" * 129, "a\nb"):
            with pytest.raises(InvalidInput, match="session_id"):
                await oviya.export_session(bad, token)
            with pytest.raises(InvalidInput, match="session_id"):
                await oviya.delete_session(bad, token)


async def test_nobody_resumes_exports_or_deletes_a_session_without_its_token(tmp_path):
    brain = ScriptedBrain()
    async with gateway_with(brain, **kept_in(tmp_path)) as gateway, Oviya(gateway.address) as oviya:
        token = token_of(await gateway.converse("a secret", session_id="s"))
        other = token_of(await gateway.converse("hello", session_id="another"))
        assert len(token) == 43
        assert token != other
        for wrong in ("", "x", other, "A" * 43, token + "A"):
            failure = await failure_of(gateway, "tell me", session_id="s", resume_token=wrong)
            assert isinstance(failure, PermissionDenied)
            for ask in (oviya.export_session, oviya.delete_session):
                refusals = set()
                for name in ("s", "unknown"):
                    with pytest.raises(PermissionDenied) as caught:
                        await ask(name, wrong)
                    refusals.add(str(caught.value))
                assert len(refusals) == 1
                assert token not in str(refusals)
        assert not any(turn.text == "a secret" for request in brain.requests for turn in request.history)
        assert len((await oviya.export_session("s", token)).turns) == 2
        with pytest.raises(aio.AioRpcError) as raised:
            await gateway.stub.DeleteSession(conversation_pb2.DeleteSessionRequest(session_id="s"))
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_second_connection_under_an_open_name_needs_its_token(tmp_path):
    async with gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as gateway:
        opened = asyncio.get_running_loop().create_future()

        def started(event: conversation_pb2.ConverseResponse) -> bool:
            if event.HasField("session_started"):
                opened.set_result(event.session_started.resume_token)
            return False

        done = asyncio.Event()
        first = asyncio.create_task(gateway.converse(done.wait(), session_id="s", until=started))
        token = await asyncio.wait_for(opened, 10)  # nothing has been said yet
        assert isinstance(await failure_of(gateway, "hello", session_id="s"), PermissionDenied)
        second = await gateway.converse("hello", session_id="s", resume_token=token)
        assert second.of("reply_ended")
        assert token_of(second) == token
        done.set()
        await first


async def test_two_connections_at_two_gateways_keep_every_turn(tmp_path):
    async with (
        gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as one,
        gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as two,
        Oviya(one.address) as oviya,
    ):
        token = token_of(await one.converse("begin", session_id="s"))
        said = [[f"{name} {number}" for number in range(8)] for name in ("one", "two")]
        await asyncio.gather(
            *(
                gateway.converse(*texts[half : half + 4], session_id="s", resume_token=token)
                for gateway, texts in ((one, said[0]), (two, said[1]))
                for half in (0, 4)
            )
        )
        async with asyncio.timeout(20):  # the other gateway writes in the background
            while len((kept := await oviya.export_session("s", token)).turns) < 2 * 17:
                await asyncio.sleep(0.05)
    users = [turn.text for turn in kept.turns if turn.role == "user"]
    assert sorted(users) == sorted(["begin", *said[0], *said[1]])
    assert len(kept.turns) == 2 * 17


async def test_deletion_at_another_gateway_is_not_undone_by_a_reply_that_is_spoken(tmp_path):
    brain = ScriptedBrain(("This sentence takes two seconds to speak.", "neutral"))
    async with (
        gateway_with(brain, **kept_in(tmp_path)) as one,
        gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as two,
        Oviya(two.address) as oviya,
    ):
        token = ""

        async def delete_while_it_is_spoken() -> None:
            while not brain.requests or not (await oviya.export_session("s", token)).turns:
                await asyncio.sleep(0.05)
            assert await oviya.delete_session("s", token) == 1

        def note(event: conversation_pb2.ConverseResponse) -> bool:
            nonlocal token
            token = event.session_started.resume_token or token
            return False

        await one.converse("a secret", delete_while_it_is_spoken(), session_id="s", until=note,
                           lead=Duration(nanos=300_000_000))  # fmt: skip
        assert (await oviya.export_session("s", token)).turns == ()


async def test_long_session_is_exported_in_pages(tmp_path):
    async with gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as gateway, Oviya(gateway.address) as oviya:
        token = token_of(await gateway.converse("hello", session_id="s"))
        long = Memory("s", gateway.service.repository, gateway.service.mesh.summarize, verbatim=0, token=token)
        await long.load()
        for number in range(300):
            long.add_user(f"{number} " + "\u4f60" * 8000)  # 24 kB each
        assert await gateway.service.repository.flush(20) == 0
        await long.close()
        kept = await oviya.export_session("s", token)
        assert [turn.text.split()[0] for turn in kept.turns] == ["hello", "I", *map(str, range(300))]
        request = conversation_pb2.ExportSessionRequest(session_id="s", resume_token=token)
        first = await gateway.stub.ExportSession(request)  # a client that knows no pages is answered, too
        assert 0 < len(first.turns) < 300
        assert first.next_page_token
        pages, request.page_size = [], 100
        while True:
            page = await gateway.stub.ExportSession(request)
            pages.append(len(page.turns))
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        assert sum(pages) == 302
        for field, value in (("page_size", 1001), ("page_token", "x"), ("page_token", "0.1")):
            bad = conversation_pb2.ExportSessionRequest(session_id="s", resume_token=token)
            setattr(bad, field, value)
            with pytest.raises(aio.AioRpcError) as raised:
                await gateway.stub.ExportSession(bad)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_token_without_a_name_is_refused():
    async with gateway_with(ScriptedBrain()) as gateway:
        with pytest.raises(InvalidInput, match="session_id"):
            raise await failure_of(gateway, "hello", resume_token="A" * 43)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_log_shows_neither_names_nor_tokens(log_format, capsys):
    settings = GatewaySettings(log_format=log_format, log_level="info")

    async def talk() -> str:
        async with gateway_with(ScriptedBrain(), session_store="redis://127.0.0.1:1/0", drain_grace_s=0.5) as gateway:
            configure_logs("gateway", settings)
            heard = await gateway.converse("hello", session_id="anna@example.com")
            with pytest.raises(OviyaError):
                async with Oviya(gateway.address) as oviya:
                    await oviya.export_session("anna@example.com", token_of(heard))
            return token_of(heard)

    try:
        token = asyncio.run(talk())
    finally:
        logged = capsys.readouterr().err
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    assert log_id("anna@example.com") in logged
    assert "anna@example.com" not in logged
    assert token not in logged


async def test_without_a_store_nothing_is_exported():
    async with gateway_with(ScriptedBrain()) as gateway, Oviya(gateway.address) as oviya:
        await gateway.converse("hello", session_id="s")
        with pytest.raises(Unsupported, match="GATEWAY_SESSION_STORE"):
            await oviya.export_session("s", "")


async def test_command_line_shows_and_deletes(tmp_path):
    async with gateway_with(ScriptedBrain(), **kept_in(tmp_path)) as gateway:
        token = token_of(await gateway.converse("hello \x1b]0;owned\x07\u202e", session_id="s"))

        async def oviya(*arguments: str, code: int = 0, **environment: str) -> str:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "oviya.cli", "session", *arguments, "--address", gateway.address,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), **environment},
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == code, out.decode()
            return out.decode()

        assert "--token" in await oviya("export", "s", code=2)
        shown = await oviya("export", "s", "--token", token)
        assert "I hear you." in shown
        assert "hello \\x1b]0;owned\\x07\\u202e" in shown
        printed = await oviya("export", "s", "--json", OVIYA_SESSION_TOKEN=token)
        assert not set("\x1b\x07\u202e") & set(shown + printed)
        texts = [turn["text"] for turn in json.loads(printed)["turns"]]
        assert texts == ["hello \x1b]0;owned\x07\u202e", "I hear you."]
        assert json.loads(await oviya("delete", "s", "--token", token, "--json")) == {
            "session_id": "s", "deleted_turns": 2,
        }  # fmt: skip
        assert "nothing is kept" in await oviya("export", "s", "--token", token)


async def test_talk_stores_the_token_and_goes_on_with_the_session(tmp_path):
    recording, state = tmp_path / "in.wav", tmp_path / "state"
    write_wav(recording, np.concatenate([decode_pcm(piece, S16LE) for piece in speech()]), RATE_HZ)
    brain = ScriptedBrain()
    async with gateway_with(ScriptedStt(), brain, **kept_in(tmp_path)) as gateway:

        async def oviya(*arguments: str, code: int = 0) -> str:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "oviya.cli", *arguments, "--address", gateway.address,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "XDG_STATE_HOME": str(state)},
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == code, out.decode()
            return out.decode()

        talk = ("talk", str(recording), "--out", str(tmp_path / "out.wav"), "--lead", "0", "--session", "mine")
        said = await oviya(*talk)
        assert "its token is in" in said
        file = state / "oviya" / "sessions.json"
        (token,) = json.loads(file.read_text()).values()
        assert file.stat().st_mode & 0o777 == 0o600
        assert token not in said
        assert json.loads(await oviya(*talk, "--json"))["resume_token"] == token
        assert len(brain.requests[-1].history) == 2
        assert "I hear you." in await oviya("session", "export", "mine")
        file.unlink()
        assert "--token" in await oviya(*talk, code=2)
        await oviya("session", "delete", "mine", "--token", token)


async def test_store_that_is_away_is_told_and_the_session_goes_on():
    async with gateway_with(ScriptedBrain(), session_store="redis://127.0.0.1:1/0", drain_grace_s=0.5) as gateway:
        heard = await gateway.converse("hello", session_id="s")
        report = gateway.service.readiness.report()
    assert heard.of("reply_ended")
    assert "the session begins without its earlier turns" in " ".join(
        told.message for told in heard.of("degraded") if told.service == "store"
    )
    assert "store" in [mode["service"] for mode in report["degraded"]]


async def test_brain_in_a_degraded_mode_is_shown_everywhere():
    brain = ScriptedBrain()
    brain.degraded = "ollama: no server answers; the listener answers"
    async with gateway_with(brain, model_refresh_s=0.05) as gateway:
        heard = await gateway.converse("hello", "and again")
        url = f"http://127.0.0.1:{gateway.service.http.port}"
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
        await until(lambda: "brain" not in dict(gateway.service.readiness.degraded()), within_s=20)
