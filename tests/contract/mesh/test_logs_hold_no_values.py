"""What a user says, and a token, are in no log at info level, whatever fails; tracebacks are still useful."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from oviya.v1 import brain_pb2, brain_pb2_grpc, conversation_pb2, conversation_pb2_grpc, csm_pb2, csm_pb2_grpc
from tests.support.ollama_server import OllamaServer
from tests.support.service_process import ServiceProcess

SAID = "zebramarker lavender"
TOKEN = "tokenmarker-4711"
MARKERS = ("zebramarker", "lavender", "tokenmarker", "4711")

KINDS = ("rpc", "group", "typed", "task", "callback", "thread", "loop", "destructor", "warning", "library", "secret")
TRACES = {
    "rpc": "in fail",
    "group": "ExceptionGroup",
    "task": "Task exception was never retrieved",
    "callback": "unhandled exception in the event loop",
    "thread": "a thread ended with an unhandled exception",
    "loop": "a background loop ended",
    "destructor": "unhandled exception where none can be raised",
    "warning": "UserWarning",
    "library": "it got \\[withheld\\] after 3 tries",
    "secret": "a careless line",
}
"""What must be logged of each failure."""


def assert_no_marker(printed: str) -> None:
    found = [line for line in printed.splitlines() if any(marker in line.lower() for marker in MARKERS)]
    assert not found, f"logged: {found}"


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_failure_of_a_service_logs_what_the_caller_said_or_a_secret(form: str):
    with ServiceProcess("tests.support.failing_service", LOG_FORMAT=form, TOKEN=TOKEN) as service:
        service.start()
        with grpc.insecure_channel(service.address) as channel:
            stub: Any = brain_pb2_grpc.BrainServiceStub(channel)
            for kind in KINDS:
                with suppress(grpc.RpcError):
                    list(stub.Reply(brain_pb2.ReplyRequest(text=SAID, session_id=kind), timeout=10))
            with pytest.raises(grpc.RpcError):
                stub.GetModel(brain_pb2.BrainServiceGetModelRequest(), metadata=(("said", SAID),), timeout=10)
        for trace in TRACES.values():
            service.wait_for(trace, 10)
        service.wait_for("in fails_later", 10)
        service.wait_for("could not be written", 10)
        assert service.stop() == 0
        printed = service.printed()
        assert_no_marker(printed)
        assert re.search(r"failing_service\.py.{1,20}line \d+.{1,20}in fail", printed)
        assert "direct cause" in printed
        assert "KeyError" in printed
        if form == "json":
            assert all(json.loads(line) for line in printed.splitlines() if line.startswith("{"))


def test_at_debug_the_messages_are_logged_and_secrets_are_still_hidden():
    with ServiceProcess("tests.support.failing_service", LOG_LEVEL="debug", TOKEN=TOKEN) as service:
        service.start()
        with grpc.insecure_channel(service.address) as channel:
            stub: Any = brain_pb2_grpc.BrainServiceStub(channel)
            for kind in ("rpc", "secret"):
                with suppress(grpc.RpcError):
                    list(stub.Reply(brain_pb2.ReplyRequest(text=SAID, session_id=kind), timeout=10))
        service.wait_for("a careless line", 10)
        assert service.stop() == 0
        assert f"cannot use {SAID}" in service.printed()
        assert "tokenmarker" not in service.printed()


def test_an_unforeseen_failure_at_the_start_logs_no_message():
    with ServiceProcess("tests.support.failing_service", FAIL_AT_START=SAID) as service:
        service.launch()
        assert service.wait() == 1
        assert_no_marker(service.printed())
        assert "ValueError" in service.printed()
        assert "in fail" in service.printed()


async def test_no_service_logs_what_was_said_while_its_dependencies_are_broken():
    async with OllamaServer().serving() as model:
        await _talk_to_a_broken_mesh(model)


async def _talk_to_a_broken_mesh(model: OllamaServer) -> None:
    nowhere: dict[str, Any] = {f"{name}_ADDRESS": "127.0.0.1:9" for name in ("STT", "EMOTION", "MIMI")}
    with (
        ServiceProcess("services.brain", BACKEND="ollama", OLLAMA_URL=model.url) as brain,
        ServiceProcess("services.csm", CHECKPOINT="random") as csm,
    ):
        for service in (brain, csm):
            await asyncio.to_thread(service.start)
        peers: dict[str, Any] = {"BRAIN_ADDRESS": brain.address, "CSM_ADDRESS": csm.address}
        with ServiceProcess("services.gateway", HTTP_PORT="0", HTTP_TOKEN=TOKEN, **peers, **nowhere) as gateway:
            await asyncio.to_thread(gateway.start)
            await _talk(model, brain, csm, gateway)


async def _talk(model: OllamaServer, brain: ServiceProcess, csm: ServiceProcess, gateway: ServiceProcess) -> None:
    await asyncio.to_thread(brain.wait_for, "the backend is ready")
    model.status = (400, f"cannot answer {SAID}")  # as a server may quote what it was asked
    page = urlsplit(gateway.logged("page", "url"))
    for header in (b"Bearer \xff" + TOKEN.encode(), b"Bearer " + TOKEN.encode(), b"Basic " + SAID.encode()):
        await asyncio.to_thread(_post_offer, page.port or 0, header)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub: Any = conversation_pb2_grpc.ConversationServiceStub(channel)
        speak = conversation_pb2.SpeakRequest
        for request in (
            speak(text=SAID),
            speak(text=SAID, voice=conversation_pb2.VOICE_CSM),
            speak(text=SAID, emotion=SAID),
            speak(text=SAID, speaker=1 << 30),
        ):
            with suppress(grpc.RpcError):
                async for _ in stub.Speak(request, timeout=20):
                    pass
        config = conversation_pb2.ConverseConfig(session_id="zebramarker")
        requests = [conversation_pb2.ConverseRequest(config=config), conversation_pb2.ConverseRequest(text=SAID)]
        with suppress(grpc.RpcError):
            async for _ in stub.Converse(iter(requests), timeout=20, metadata=(("authorization", TOKEN),)):
                pass
    async with grpc.aio.insecure_channel(csm.address) as channel:
        stub = csm_pb2_grpc.CsmServiceStub(channel)
        refused: tuple[dict[str, Any], ...] = ({}, {"style": SAID}, {"reference_clip": SAID}, {"speaker": 1 << 30})
        for fields in refused:
            with suppress(grpc.RpcError):
                generate = csm_pb2.GenerateRequest(text=SAID, request_id="zebramarker", max_frames=2, **fields)
                async for _ in stub.Generate(generate, timeout=20):
                    pass
    for service in (gateway, brain, csm):
        assert await asyncio.to_thread(service.stop) == 0
        assert_no_marker(service.printed())
    assert "the backend failed" in brain.printed()
    assert "generated" in csm.printed()
    assert "session opened" in gateway.printed()


def _post_offer(port: int, authorization: bytes) -> None:
    body = json.dumps({"sdp": SAID, "type": "offer"}).encode()
    head = f"POST /offer HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\nAuthorization: ".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + authorization + b"\r\nConnection: close\r\n\r\n" + body)
        while connection.recv(4096):
            pass
