"""A model that hangs, breaks off, is empty or missing: nothing stalls, no text is lost, every fault is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from services.brain.backend import Exchange, Sentence, Turn
from services.brain.emotions import EMOTIONS
from services.brain.failover import INSTEAD
from services.brain.ollama.errors import ModelMissing, WrongServer
from services.brain.ollama.network import is_private
from services.brain.server import make_backend
from tests.support.brain_with_ollama import REPLY, ask, brain, settings
from tests.support.metrics import metric
from tests.support.ollama_server import Answer, OllamaServer
from tests.support.ports import free_port
from tests.support.waiting import until

NAME = Exchange("what is my name", (Turn("user", "my name is anna"), Turn("assistant", "Nice to meet you, Anna.")))

FAULTS: dict[Any, tuple[str, str]] = {
    "hang": ("Timeout", "nothing came for 2 s"),
    "die": ("BadStream", "the connection broke"),
    "invalid json": ("BadStream", "invalid JSON"),
    "other shape": ("BadStream", "unexpected shape"),
    "error": ("BadStream", "CUDA error"),
    "no end": ("BadStream", "broke off"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_before_the_first_sentence_is_answered_by_the_listener(fault):
    server, (kind, reason) = OllamaServer(), FAULTS[fault]
    server.say(Answer("[joy] I am", fault=fault))
    before = metric("brain_failures_total", backend="ollama", asked="reply", type=kind)
    async with brain(server) as backend:
        said = await ask(backend, NAME)
        assert reason in backend.status().degraded
        assert metric("brain_degraded", backend="ollama") == 1
    assert "Anna" in " ".join(sentence.text for sentence in said)  # the listener knows what was said
    assert {sentence.backend for sentence in said} == {"listener"}
    assert reason in said[0].degraded
    assert said[0].degraded.endswith(INSTEAD)
    assert metric("brain_failures_total", backend="ollama", asked="reply", type=kind) == before + 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_after_a_sentence_keeps_it_and_ends_with_an_apology(fault):
    server, (_, reason) = OllamaServer(), FAULTS[fault]
    server.say(Answer("[joy] How nice. [curious] And what did your", fault=fault))
    async with brain(server) as backend:
        said = await ask(backend)
    assert [(s.text, s.emotion) for s in said[:2]] == [
        ("How nice.", "joyful_excited"), ("And what did your", "curious"),
    ]  # fmt: skip
    assert said[2].text == "Sorry, I lost my thread there."
    assert reason in said[2].degraded
    assert len(said) == 3


async def test_unreachable_server_is_used_once_it_is_reachable():
    port = free_port()
    backend = make_backend(settings(f"http://127.0.0.1:{port}", retry_s=0.3))
    try:
        await backend.warm()  # the service starts all the same
        said = await ask(backend)
        assert {sentence.backend for sentence in said} == {"listener"}
        assert f"no server answers at http://127.0.0.1:{port}" in said[0].degraded
        assert INSTEAD in backend.status().degraded
        server = OllamaServer()
        server.say(REPLY)
        async with server.serving(port):
            await until(lambda: not backend.status().degraded)
            assert (await ask(backend))[0] == Sentence("I am so sorry.", "empathetic_sad")
    finally:
        await backend.close()


async def test_hanging_server_delays_only_one_turn():
    server = OllamaServer()
    server.say(Answer("", fault="hang"))
    async with brain(server, retry_s=2.0) as backend:
        await ask(backend)
        again = await ask(backend)
        assert len(server.requests) == 1  # not asked again at once
        assert "nothing came" in again[0].degraded
        server.answers = [Answer(REPLY)]
        await asyncio.sleep(2.1)
        assert (await ask(backend))[0].backend == ""
        assert not backend.status().degraded


async def test_full_server_is_asked_again_at_the_next_turn():
    server = OllamaServer()
    server.say(REPLY)
    async with brain(server) as backend:
        server.status = (503, "server busy, please try again.  maximum pending requests exceeded")
        assert "server busy" in (await ask(backend))[0].degraded
        server.status = None
        assert (await ask(backend))[0].text == "I am so sorry."


async def test_model_that_only_thinks_times_out():
    server = OllamaServer()
    server.say(Answer(thinking=["hm"] * 10_000, tokens_a_second=200))
    async with brain(server, first_sentence_s=0.5) as backend:
        said = await ask(backend)
    assert "no sentence came within 0.5 s" in said[0].degraded


@pytest.mark.parametrize("empty", ["", "   \n", "[joy]", "...", "<think>nothing</think>"])
async def test_empty_reply_is_answered_by_the_listener(empty):
    server = OllamaServer()
    server.say(empty)
    async with brain(server) as backend:
        said = await ask(backend)
    assert said
    assert "nothing to say" in said[0].degraded


async def test_unknown_emotion_is_replaced_and_counted():
    server = OllamaServer()
    server.say("[flabbergasted] I did not know that. [xyzzy] Tell me more?")
    before = metric("brain_emotion_tags_total", kind="unknown")
    async with brain(server) as backend:
        said = await ask(backend)
    assert [s.text for s in said] == ["I did not know that.", "Tell me more?"]
    assert {s.emotion for s in said} <= EMOTIONS
    assert metric("brain_emotion_tags_total", kind="unknown") == before + 2


async def test_ten_thousand_tokens_without_a_full_stop_are_segmented():
    server = OllamaServer()
    tokens = [f" word{number}" for number in range(10_000)]
    server.say(Answer(tokens, fault="none"))
    async with brain(server) as backend:
        said = await ask(backend)
    assert sum(len(s.text.split()) for s in said) >= 10_000
    assert "nine thousand nine hundred and ninety-nine" in said[-1].spoken
    assert not any(s.degraded for s in said)


async def test_only_emoji_is_said_by_name():
    server = OllamaServer()
    server.say("\U0001f600\U0001f680")
    async with brain(server) as backend:
        assert [s.spoken for s in await ask(backend)] == ["grinning face, rocket"]


async def test_cut_reply_is_counted():
    server = OllamaServer()
    server.say(Answer("[joy] It goes on and", done_reason="length"))
    before = metric("brain_cut_replies_total")
    async with brain(server) as backend:
        assert [s.text for s in await ask(backend)] == ["It goes on and"]
    assert metric("brain_cut_replies_total") == before + 1


async def test_missing_model_stops_the_start_with_a_clear_error():
    server = OllamaServer(models={})
    with pytest.raises(ModelMissing, match=r"llama3\.2 is not there; `ollama pull llama3\.2`, or set "):
        async with brain(server):
            pass
    assert server.pulls == 0


async def test_missing_model_is_pulled_where_that_is_allowed_and_the_listener_answers_meanwhile():
    server = OllamaServer(models={}, library={"llama3.2:latest": ["completion"]})
    server.say(REPLY)
    async with brain(server, ollama_pull=True, retry_s=0.001) as backend:
        seen: set[str] = set()
        while backend.status().degraded:
            seen.add(backend.status().degraded)
            await asyncio.sleep(0.001)
        assert any("is being downloaded: pulling" in step and "%" in step for step in seen)
        assert (await ask(backend))[0].text == "I am so sorry."
    assert server.pulls == 1


async def test_broken_download_is_tried_again():
    server = OllamaServer(models={}, library={"llama3.2:latest": ["completion"]})
    server.pull_fault = "die"
    server.say(REPLY)
    async with brain(server, ollama_pull=True, retry_s=0.1) as backend:
        await until(lambda: server.pulls == 2)
        assert "the download ended before it was complete" in (await ask(backend))[0].degraded
        server.pull_fault = "none"
        await until(lambda: not backend.status().degraded)
        assert (await ask(backend))[0].text == "I am so sorry."


async def test_unknown_model_is_reported_with_its_setting():
    server = OllamaServer(models={}, library={})
    async with brain(server, ollama_pull=True) as backend:
        degraded = (await ask(backend))[0].degraded
    assert "the model llama3.2 cannot be downloaded (pull model manifest: file does not exist)" in degraded
    assert "BRAIN_OLLAMA_MODEL" in degraded


async def test_model_that_disappears_is_downloaded_again():
    server = OllamaServer(library={"llama3.2:latest": ["completion"]})
    server.say(REPLY)
    async with brain(server, ollama_pull=True) as backend:
        server.models.clear()
        assert "is not there" in (await ask(backend))[0].degraded
        await until(lambda: not backend.status().degraded)
        assert (await ask(backend))[0].text == "I am so sorry."


@pytest.mark.parametrize("answer", [Answer(thinking=["hm"] * 50, done_reason="length"),
                                    Answer("<think>" + "hm " * 50, done_reason="length"),
                                    Answer("Okay, the user is sad and I", done_reason="length")])  # fmt: skip
async def test_thinking_that_used_up_the_answer_is_reported_with_a_hint(answer):
    server = OllamaServer(models={"llama3.2:latest": ["completion", "thinking"]})
    server.say(answer)
    async with brain(server, ollama_options={"num_predict": 50}) as backend:
        degraded = (await ask(backend))[0].degraded
    assert "thinking used up the answer's 50 tokens (num_predict)" in degraded
    assert "BRAIN_OLLAMA_OPTIONS" in degraded
    assert "BRAIN_OLLAMA_THINK=false" in degraded


@pytest.mark.parametrize("answer", [Answer(thinking=["hm"] * 5), Answer("<think>\nhm"), Answer("<think>hm</think>")])
async def test_answer_that_is_thinking_only_is_reported(answer):
    server = OllamaServer(models={"llama3.2:latest": ["completion", "thinking"]})
    server.say(answer)
    async with brain(server) as backend:
        degraded = (await ask(backend))[0].degraded
    assert "thinking only" in degraded
    assert "BRAIN_OLLAMA_THINK=false" in degraded


async def test_unclosed_thinking_is_counted_and_reported():
    server = OllamaServer()
    server.say("[tender] I am here with you <think>\nThe user is sad")
    before = metric("brain_hidden_text_total", kind="unclosed thinking")
    async with brain(server) as backend:
        said = await ask(backend)
    assert [s.text for s in said] == ["I am here with you"]
    assert "did not end" in said[0].degraded
    assert metric("brain_hidden_text_total", kind="unclosed thinking") == before + 1


@asynccontextmanager
async def other_server(status: int, body: str, kind: str) -> AsyncIterator[str]:
    """A server that is not Ollama and has one answer to every request."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=kind)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("pull", [False, True])
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/api", "/api/chat", "/ollama"])
async def test_address_with_a_path_is_reported_as_wrong(path, pull):
    server = OllamaServer()
    async with server.serving():
        backend = make_backend(settings(server.url + path, ollama_pull=pull))
        try:
            with pytest.raises(WrongServer) as wrong:
                await backend.warm()
        finally:
            await backend.close()
    assert f"BRAIN_OLLAMA_URL={server.url}{path}" in str(wrong.value)
    assert "ollama pull" not in str(wrong.value)
    if path != "/ollama":
        assert str(wrong.value).endswith(f"e.g. {server.url}")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, "404 page not found", "text/plain"),
        (404, "<html><body>The model was not found</body></html>", "text/html"),
        (404, '{"detail": "Not Found"}', "application/json"),
        (405, "", "text/plain"),
        (200, "<html><body>Welcome</body></html>", "text/html"),
        (200, '["no", "Ollama"]', "application/json"),
    ],
)
async def test_server_that_is_not_ollama_is_reported(status, body, kind):
    async with other_server(status, body, kind) as url:
        backend = make_backend(settings(url))
        try:
            with pytest.raises(WrongServer, match=f"BRAIN_OLLAMA_URL={url} is not the address of an Ollama server"):
                await backend.warm()
        finally:
            await backend.close()


async def test_password_in_the_address_is_not_shown():
    backend = make_backend(settings("http://anna:secret@127.0.0.1:1/v1?key=secret"))
    try:
        await backend.warm()
        assert "secret" not in (await ask(backend))[0].degraded
        assert "http://127.0.0.1:1/v1" in backend.status().degraded
    finally:
        await backend.close()


async def test_private_server_is_called_without_a_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server = OllamaServer()
    server.say(REPLY)
    async with brain(server) as backend:
        assert (await ask(backend))[0].text == "I am so sorry."


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost:11434", True), ("http://127.0.0.1", True), ("http://[::1]:1", True),
        ("http://ollama:11434", True),
        ("http://10.1.2.3", True), ("http://192.168.0.5", True), ("http://169.254.1.1", True),
        ("http://[fd00::1]", True),
        ("http://host.docker.internal:11434", True), ("http://ollama.oviya.svc.cluster.local", True),
        ("http://pc.local", True), ("https://ollama.com", False), ("http://8.8.8.8", False),
        ("http://a.internal.com", False),
    ],
)  # fmt: skip
def test_which_addresses_are_private(url, private):
    assert is_private(url) is private
