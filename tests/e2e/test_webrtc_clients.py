"""Any WebRTC client can hold a conversation: aiortc, and werift on Node.js, which shares no code with the gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import Any

import aiohttp
import numpy as np
import pytest

from services.gateway.transport.webrtc.opus_stream import OpusStream
from services.gateway.transport.webrtc.playout_queue import FRAME_SAMPLES, RATE_HZ
from tests.e2e.test_node_client import NODE_MODULES, ROOT
from tests.support.speech import SAD, speak, word_errors
from tests.support.waiting import PATIENCE_S
from tests.support.webrtc_client import browser

SETTLED_S = 1.0
"""Time after `interrupted` at which the fade, and the silent packets after it, have arrived."""
STEPS: list[dict[str, Any]] = [
    {"text": "hello"},
    {"until": "replyEnded", "note": "typed"},
    {"speech": SAD},
    {"until": "final"},
    {"until": "replyEnded", "note": "spoken"},
    {"text": "Tell me what helps when I feel sad and lonely."},
    {"until": "replySentence"},
    {"wait": 0.4},
    {"interrupt": {}},
    {"until": "interrupted"},
    {"wait": SETTLED_S, "note": "settled"},
    {"wait": 2.0, "note": "later"},
    {"text": "thank you"},
    {"until": "replyEnded", "note": "again"},
]
"""A typed and a spoken turn, a reply that is interrupted, and a turn after it.  A note keeps the sound so far."""


def opus_packets(samples: np.ndarray) -> list[str]:
    """Packets of 20 ms of 48 kHz sound, as base64."""
    stream = OpusStream()
    whole = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]
    starts = range(0, len(whole), FRAME_SAMPLES)
    packets = [bytes(stream.encode(whole[start : start + FRAME_SAMPLES], start)) for start in starts]
    return [base64.b64encode(packet).decode() for packet in packets]


async def with_werift(http_url: str, tmp_path) -> dict[str, Any]:
    steps = [{"opus": opus_packets(speak(step["speech"], RATE_HZ))} if "speech" in step else step for step in STEPS]
    file = tmp_path / "steps.json"
    file.write_text(json.dumps(steps))
    client = await asyncio.create_subprocess_exec(
        "node",
        str(ROOT / "tests" / "e2e" / "webrtc_client.cjs"),
        http_url,
        str(file),
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(4 * PATIENCE_S):
            output, errors = await client.communicate()
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    assert client.returncode == 0, errors.decode()
    return json.loads(output)


async def with_aiortc(http_url: str, tmp_path) -> dict[str, Any]:
    seen: dict[str, Any] = {"events": []}
    async with aiohttp.ClientSession(http_url) as http, browser() as user:
        async with http.post("/offer", json={"type": "offer", "sdp": await user.offer()}) as response:
            assert response.status == 200, await response.text()
            await user.connect((await response.json())["sdp"])

        async def until(name):
            async with asyncio.timeout(PATIENCE_S):
                while not seen["events"] or name not in seen["events"][-1]:
                    seen["events"].append(await user.events.get())
            seen["events"].append({})  # the next wait is for a new event

        await until("sessionStarted")
        for step in STEPS:
            match step:
                case {"speech": text}:
                    user.speak(speak(text, RATE_HZ))
                case {"until": name}:
                    await until(name)
                case {"wait": seconds}:
                    await asyncio.sleep(seconds)
                case _:
                    user.send(step)
            if "note" in step:
                seen[step["note"]] = sum(np.abs(frame).max() > 0.002 for frame in user.heard)
    return seen


def of(seen: dict[str, Any], name: str) -> list[Any]:
    return [event[name] for event in seen["events"] if name in event]


@pytest.mark.parametrize("hold", [with_aiortc, with_werift], ids=["aiortc", "werift"])
async def test_a_conversation(hold, mesh, tmp_path):
    seen = await hold(mesh.http_url, tmp_path)
    finals = [final["text"] for final in of(seen, "final")]
    assert any(word_errors(text, SAD) <= 3 for text in finals), finals
    assert len(of(seen, "replyEnded")) == 3
    [interrupted] = of(seen, "interrupted")
    assert interrupted["reason"] == "INTERRUPT_REASON_REQUESTED"
    assert not of(seen, "turnFailed")
    assert not of(seen, "requestFailed")
    assert of(seen, "wordsSpoken")
    assert seen["typed"] > 10  # packets of sound, 20 ms each
    assert seen["spoken"] > seen["typed"] + 10
    assert seen["settled"] > seen["spoken"]
    assert seen["later"] == seen["settled"]  # no sound of the interrupted reply
    assert seen["again"] > seen["later"] + 10
