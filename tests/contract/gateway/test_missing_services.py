"""A gateway with a service missing: it starts, says which one, and works once it is there."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp
import pytest

from oviya.mesh.probe import is_serving
from oviya.mesh.service import Service
from services.emotion.server import EmotionService
from services.emotion.settings import EmotionSettings
from services.gateway import metrics
from services.gateway.echo.webrtc_apm import ECHO_CANCELLATION, load_apm
from tests.support.gateway_mesh import GatewayUnderTest, gateway_with, served_at, speech, wait_for_state
from tests.support.metrics import metric
from tests.support.ports import free_port
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi, ScriptedStt

MAKE: dict[str, Any] = {
    "stt": ScriptedStt,
    "brain": ScriptedBrain,
    "emotion": lambda: EmotionService(EmotionSettings()),
    "csm": ScriptedCsm,
    "mimi": ScriptedMimi,
}


async def readyz(gateway: GatewayUnderTest) -> tuple[int, dict[str, Any]]:
    url = f"http://127.0.0.1:{gateway.service.http.port}"
    async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as answer:
        return answer.status, await answer.json()


def others(missing: str) -> list[Service[Any]]:
    return [make() for name, make in MAKE.items() if name not in (missing, "emotion")]


async def test_with_all_services_it_is_ready_and_nothing_is_degraded():
    async with gateway_with(*others("")) as gateway:
        status, report = await readyz(gateway)
    assert (status, report["ready"], report["degraded"]) == (200, True, [])
    assert report["voice"] == {"name": "csm", "reason": ""}
    assert {name: service["state"] for name, service in report["services"].items()} == dict.fromkeys(MAKE, "serving")
    assert report["services"]["csm"]["model"] == "scripted-csm"
    assert report["services"]["csm"]["trained"] is True


@pytest.mark.parametrize("wanted", [True, False])
async def test_without_its_library_echo_cancellation_is_degraded_if_it_is_wanted(wanted, monkeypatch):
    load_apm.cache_clear()
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    try:
        async with gateway_with(*others(""), echo_cancellation=wanted) as gateway:
            status, report = await readyz(gateway)
            heard = await gateway.converse("hello")
            assert metric("gateway_degraded", service=ECHO_CANCELLATION) == wanted
    finally:
        load_apm.cache_clear()
        if wanted:
            metrics.DEGRADED.remove(ECHO_CANCELLATION)
    assert (status, report["ready"]) == (200, True)
    assert [mode["service"] for mode in report["degraded"]] == [ECHO_CANCELLATION] * wanted
    assert [told.service for told in heard.of("degraded")] == [ECHO_CANCELLATION] * wanted


@pytest.mark.parametrize("missing", list(MAKE))
async def test_missing_service_is_named_and_used_once_it_is_there(missing):
    port = free_port()
    settings: dict[str, Any] = {f"{missing}_address": f"127.0.0.1:{port}", "emotion": missing != "emotion"}
    async with gateway_with(*others(missing), stt_retry_s=0.05, stt_stall_s=3.0, **settings) as gateway:
        needed = missing in ("stt", "brain")
        status, report = await readyz(gateway)
        assert (status, report["ready"]) == ((503, False) if needed else (200, True))
        assert report["services"][missing]["state"] == "missing"
        assert report["services"][missing]["address"] == f"127.0.0.1:{port}"
        assert [mode["service"] for mode in report["degraded"]] == [missing]
        assert report["voice"]["name"] == ("fallback" if missing in ("csm", "mimi") else "csm")
        assert (missing in report["voice"]["reason"]) == (missing in ("csm", "mimi"))
        assert await asyncio.to_thread(is_serving, gateway.address, "oviya.v1.ConversationService")

        heard = await gateway.converse(*speech())  # a session without it ends in order, and says why
        assert missing in [told.service for told in heard.of("degraded")]
        assert [detail.field for detail in heard.of("turn_failed")] == ([missing] if needed else [])

        async with served_at(port, MAKE[missing]()):
            async with asyncio.timeout(20):
                await wait_for_state(gateway.service, missing, "serving")
            status, report = await readyz(gateway)
            assert (status, report["ready"], report["degraded"]) == (200, True, [])
            heard = await gateway.converse(*speech())
            assert heard.of("reply_ended")
            assert not heard.of("degraded")
            assert not heard.of("turn_failed")

        async with asyncio.timeout(20):  # and gone again
            await wait_for_state(gateway.service, missing, "missing")
        assert (await readyz(gateway))[1]["degraded"][0]["service"] == missing


async def test_open_session_hears_again_when_speech_to_text_comes_back():
    """What was said while it was away is heard and answered."""
    port = free_port()
    stt, brain = ScriptedStt("still here"), ScriptedBrain()
    async with gateway_with(brain, stt_address=f"127.0.0.1:{port}", stt_retry_s=0.02) as gateway:
        answered = [asyncio.Event(), asyncio.Event()]

        def told(event: Any) -> None:
            if event.HasField("reply_ended"):
                next(reply for reply in answered if not reply.is_set()).set()

        async def serve() -> None:
            await answered[0].wait()
            async with served_at(port, stt):
                await answered[1].wait()

        serving = asyncio.create_task(serve())
        async with asyncio.timeout(20):
            heard = await gateway.converse(*speech(), "typed meanwhile", answered[1].wait(), until=told)
            await serving
    assert [final.text for final in heard.of("final")] == ["still here"]
    assert [request.text for request in brain.requests] == ["typed meanwhile", "still here"]
    assert "stt" in [told.service for told in heard.of("degraded")]
    assert not heard.of("turn_failed")


async def test_untrained_checkpoints_leave_the_voice_to_the_fallback():
    async with gateway_with(ScriptedCsm(trained=False), ScriptedMimi(), ScriptedStt(), ScriptedBrain()) as gateway:
        status, report = await readyz(gateway)
        heard = await gateway.converse("hello")
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{gateway.service.http.port}/metrics"
            async with http.get(url) as answer:
                metrics = await answer.text()
    assert (status, report["ready"]) == (200, True)
    assert report["voice"] == {"name": "fallback", "reason": "csm has no trained checkpoint"}
    assert report["services"]["csm"]["trained"] is False
    assert [(told.service, "not" not in told.message) for told in heard.of("degraded")] == [("csm", True)]
    assert 'oviya_gateway_degraded{service="csm"} 1.0' in metrics
    assert 'oviya_gateway_degraded{service="stt"} 0.0' in metrics
    assert 'oviya_gateway_voice_sentences_total{voice="fallback"}' in metrics
    assert 'oviya_gateway_turns_total{input="text",outcome="answered"}' in metrics


async def test_service_that_is_there_but_not_warm_is_starting():
    port, warm = free_port(), asyncio.Event()

    class Warming(ScriptedStt):
        async def start(self) -> None:
            await warm.wait()

    async with gateway_with(ScriptedBrain(), stt_address=f"127.0.0.1:{port}") as gateway:

        async def serve() -> None:
            async with served_at(port, Warming()):
                await done.wait()

        done = asyncio.Event()
        serving = asyncio.create_task(serve())
        async with asyncio.timeout(20):
            await wait_for_state(gateway.service, "stt", "starting")
        report = gateway.service.readiness.report()
        assert not report["ready"]
        assert [mode["message"] for mode in report["degraded"] if mode["service"] == "stt"] == [
            "is not ready yet; speech is not heard; typed turns work"
        ]
        warm.set()
        async with asyncio.timeout(20):
            await wait_for_state(gateway.service, "stt", "serving")
        done.set()
        await serving
