"""A voice of the caller's own: clips through speech-to-text and Mimi, registered voices, and the same over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest

from oviya.audio.pcm import S16LE, audio_message
from oviya.audio.wav import write_wav
from oviya.errors import Busy, InvalidInput, OviyaError, PermissionDenied, Unavailable, Unsupported
from oviya.v1 import common_pb2
from oviya.v1.conversation_pb2 import ConverseRequest, SetVoice, VoiceClip
from services.gateway.voice.segment import CSM, Sentence, SpeechOptions
from tests.support.gateway_mesh import gateway_with, wait_for_state
from tests.support.metrics import metric
from tests.support.music import chords
from tests.support.scripted_services import ScriptedBrain, ScriptedCsm, ScriptedMimi
from tests.support.service_process import ServiceProcess
from tests.support.speech import plain_words, silence, speak, word_error_rate
from tests.support.waiting import until

RATE_HZ = 16_000
TEXT = "My brother called, and he told me about the garden. We walked to the lake and back before it rained."
SPEECH = speak(TEXT, RATE_HZ)
OTHER = speak("She left her bag on the train, but somebody found it.", RATE_HZ, "rms")
NOISE = 0.02 * np.random.default_rng(1).standard_normal(5 * RATE_HZ).astype(np.float32)
KEPT = {"name": "anna", "consent": "true"}
READY_S = 30


@pytest.fixture(scope="module")
def stt_address():
    with ServiceProcess("services.stt", TURN_STALL_S="60") as service:
        service.start()
        yield service.address
        assert service.stop() == 0


@pytest.fixture(scope="module")
def mimi_address():
    with ServiceProcess("services.mimi") as service:
        service.start()
        yield service.address
        assert service.stop() == 0


class Csm(ScriptedCsm):
    """Fits the demo voice's Mimi."""

    def __init__(self, max_positions=2048):
        super().__init__()
        self.max_positions = max_positions

    async def GetModel(self, request, context):
        model = await super().GetModel(request, context)
        model.codebook_size, model.max_positions = 512, self.max_positions
        model.speakers.add(id=0, name="clear")
        model.speakers.add(id=10, name="deep")
        return model


@pytest.fixture
def gateway(stt_address, mimi_address):
    """Opens a gateway with speech-to-text, the demo voice's Mimi, and a scripted CSM."""

    @asynccontextmanager
    async def open_gateway(csm=None, **settings):
        csm = csm or Csm()
        settings = {"stt_address": stt_address, "mimi_address": mimi_address, **settings}
        async with gateway_with(csm, emotion=False, **settings) as under_test:
            async with asyncio.timeout(READY_S):
                for name in ("stt", "mimi"):
                    await wait_for_state(under_test.service, name, "serving")
            yield under_test

    return open_gateway


def set_voice(samples=SPEECH, text="", *, consent=False, rate_hz=RATE_HZ, **fields):
    audio = audio_message(samples, common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=rate_hz))
    return SetVoice(clip=VoiceClip(audio=audio, text=text, consent=consent), **fields)


async def refusal(voices, request):
    with pytest.raises(OviyaError) as caught:
        await voices.resolve(request)
    return caught.value


async def test_a_clip_becomes_the_reference_of_a_speaker_that_the_checkpoint_does_not_know(gateway):
    csm = Csm()
    async with gateway(csm) as under_test:
        accepted = metric("gateway_clips_total", outcome="accepted")
        chosen = await under_test.service.own_voices.resolve(set_voice())
        assert chosen.speaker == 11
        assert (chosen.answer.registered, chosen.answer.voice_token) == ("", "")
        assert word_error_rate([chosen.answer.text], [TEXT]) < 0.2
        reference = chosen.reference
        assert reference.reference
        assert (reference.speaker, reference.text) == (chosen.speaker, chosen.answer.text)
        frames = len(reference.audio.codes) / reference.audio.codebooks
        assert reference.audio.codebooks == 8
        assert frames * 0.08 == pytest.approx(len(SPEECH) / RATE_HZ, abs=0.6)
        assert metric("gateway_clips_total", outcome="accepted") == accepted + 1

        speech = under_test.service.new_output(
            SpeechOptions(CSM, chosen.speaker, reference=reference),
            common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=24_000),
        )

        async def sentences():
            for text in ("One sentence.", "And another one."):
                yield Sentence(text, text, "neutral")

        async def ignore(_event):
            pass

        await speech.say(sentences(), ignore).wait()
        first, second = csm.requests
        assert list(first.context) == [reference]
        assert second.context[0] == reference
        assert [segment.reference for segment in second.context] == [True, False]
        assert (first.speaker, first.reference_clip) == (chosen.speaker, "")


async def test_a_session_speaks_with_the_clip_or_is_told_why_not(stt_address, mimi_address):
    csm, accepted = Csm(), metric("gateway_clips_total", outcome="accepted")

    async def until_accepted():
        while metric("gateway_clips_total", outcome="accepted") == accepted:
            await asyncio.sleep(0.01)

    async def until_refused():
        while metric("gateway_refused_requests_total", request="set_voice") == refused:
            await asyncio.sleep(0.01)

    addresses = {"stt_address": stt_address, "mimi_address": mimi_address}
    async with gateway_with(csm, ScriptedBrain(("I hear you.", "calm_supportive")), **addresses) as under_test:
        async with asyncio.timeout(READY_S):
            for name in ("stt", "mimi"):
                await wait_for_state(under_test.service, name, "serving")
        refused = metric("gateway_refused_requests_total", request="set_voice")
        heard = await under_test.converse(
            ConverseRequest(set_voice=set_voice(silence(5.0))),
            until_refused(),
            ConverseRequest(set_voice=set_voice()),
            until_accepted(),
            "Hello.",
        )
    (failed,), (answer,) = heard.of("request_failed"), heard.of("voice_set")
    assert (failed.field, failed.value) == ("set_voice.clip.audio", "silence")
    (spoken,) = csm.requests
    assert spoken.context[0].reference
    assert (spoken.context[0].text, spoken.speaker) == (answer.text, 11)


async def test_a_long_clip_is_cut_and_the_callers_text_with_it(gateway):
    sentences = [*TEXT.split(". "), "She left her bag on the train.", "The shop closes early on Sunday."]
    pieces = [piece for text in sentences for piece in (speak(text, 24_000), silence(0.4, 24_000))]
    clip, text = np.concatenate(pieces), " ".join(sentences).upper()
    async with gateway(Csm(4 * 500)) as under_test:
        whole = await under_test.service.own_voices.resolve(set_voice(clip, text, rate_hz=24_000))
        assert whole.answer.text == text
    async with gateway(Csm(4 * 180)) as under_test:
        cut = await under_test.service.own_voices.resolve(set_voice(clip, text, rate_hz=24_000))
        assert text.startswith(cut.answer.text)
        assert len(plain_words(cut.answer.text)) >= len(plain_words(TEXT)) // 2
        assert len(cut.reference.audio.codes) / 8 + len(cut.answer.text) <= 180


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (SPEECH[: 2 * RATE_HZ], "2.00 s"),
        (silence(5.0), "silence"),
        (NOISE, "no words"),
        (chords(6, 1), "music"),
        (np.concatenate((SPEECH[:RATE_HZ], silence(4.0))), "s of speech"),
        (np.concatenate((SPEECH, silence(0.4), OTHER)), "several speakers"),
    ],
    ids=["short", "silence", "noise", "music", "little speech", "two speakers"],
)
async def test_what_is_not_one_persons_speech_is_refused(gateway, samples, found):
    async with gateway() as under_test:
        error = await refusal(under_test.service.own_voices, set_voice(samples))
        assert isinstance(error, InvalidInput)
        assert error.field == "set_voice.clip.audio"
        assert found in error.value
        assert error.limit
        assert error.hint


async def test_bad_requests_name_their_field(gateway):
    async with gateway() as under_test:
        voices = under_test.service.own_voices
        for request, field in (
            (SetVoice(), "set_voice"),
            (SetVoice(speaker=65_536), "set_voice.speaker"),
            (SetVoice(speaker=3, keep_as="anna"), "set_voice.keep_as"),
            (set_voice(text="x" * 1001), "set_voice.clip.text"),
            (set_voice(text="Something else entirely was said in this one."), "set_voice.clip.text"),
            (set_voice(keep_as="x" * 65, consent=True), "set_voice.keep_as"),
            (set_voice(keep_as=" ", consent=True), "set_voice.keep_as"),
            (set_voice(keep_as="anna"), "set_voice.clip.consent"),
        ):
            error = await refusal(voices, request)
            assert isinstance(error, InvalidInput)
            assert error.field == field
        assert isinstance(await refusal(voices, set_voice(keep_as="anna", consent=True)), Unsupported)
        assert isinstance(await refusal(voices, SetVoice(registered="anna", voice_token="x")), PermissionDenied)
        assert (await voices.resolve(SetVoice(speaker=3))).speaker == 3


async def test_a_kept_voice_outlives_the_gateway_and_belongs_to_its_token(gateway, tmp_path):
    async with gateway(voice_store=str(tmp_path)) as under_test:
        chosen = await under_test.service.own_voices.resolve(set_voice(keep_as="anna", consent=True))
        name, token = chosen.answer.registered, chosen.answer.voice_token
        assert name == "anna"
        error = await refusal(under_test.service.own_voices, set_voice(keep_as="anna", consent=True))
        assert isinstance(error, InvalidInput)
        assert error.field == "set_voice.keep_as"
    async with gateway(voice_store=str(tmp_path)) as under_test:
        voices = under_test.service.own_voices
        again = await voices.resolve(SetVoice(registered=name, voice_token=token))
        assert again.reference == chosen.reference
        assert again.answer == chosen.answer
        assert isinstance(await refusal(voices, SetVoice(registered=name, voice_token="wrong")), PermissionDenied)
        (path,) = tmp_path.iterdir()
        path.write_text(json.dumps(json.loads(path.read_text()) | {"codec": "another-mimi"}))
        error = await refusal(voices, SetVoice(registered=name, voice_token=token))
        assert isinstance(error, InvalidInput)
        assert error.field == "set_voice.registered"
        assert "another-mimi" in error.limit
        with pytest.raises(PermissionDenied):
            await voices.delete(name, "wrong")
        await voices.delete(name, token)
        assert not list(tmp_path.iterdir())
        with pytest.raises(PermissionDenied):
            await voices.delete(name, token)


async def test_without_csm_a_clip_is_refused_and_says_why(stt_address, mimi_address):
    async with gateway_with(emotion=False, stt_address=stt_address, mimi_address=mimi_address) as under_test:
        error = await refusal(under_test.service.own_voices, set_voice())
        assert isinstance(error, Unavailable)
        assert error.service == "csm"


async def test_a_failure_of_mimi_is_not_blamed_on_the_clip(stt_address):
    mimi = ScriptedMimi()
    mimi.refuse_encode = Unsupported("the script does not encode")
    async with gateway_with(ScriptedCsm(), mimi, emotion=False, stt_address=stt_address) as under_test:
        async with asyncio.timeout(READY_S):
            await wait_for_state(under_test.service, "stt", "serving")
        error = await refusal(under_test.service.own_voices, set_voice())
        assert isinstance(error, Unsupported)
        assert "the script does not encode" in str(error)


# --- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wav(tmp_path):
    def make(samples=SPEECH, rate_hz=RATE_HZ):
        path = tmp_path / "clip.wav"
        write_wav(path, samples, rate_hz)
        return path.read_bytes()

    return make


def form(audio, **fields):
    data = aiohttp.FormData()
    data.add_field("audio", audio, filename="clip.wav")
    for name, value in fields.items():
        data.add_field(name, value)
    return data


@asynccontextmanager
async def client_of(under_test, **headers):
    async with aiohttp.ClientSession(f"http://127.0.0.1:{under_test.service.http.port}", headers=headers) as client:
        yield client


async def post(client, data, **headers):
    async with client.post("/voices", data=data, headers=headers) as response:
        return response.status, await response.json()


async def test_an_upload_can_be_spoken_with_for_an_hour(gateway, wav):
    async with gateway() as under_test, client_of(under_test) as client:
        status, answer = await post(client, form(wav()))
        assert status == 201
        assert word_error_rate([answer["text"]], [TEXT]) < 0.2
        assert answer["seconds"] == pytest.approx(len(SPEECH) / RATE_HZ, abs=0.6)
        assert answer["expiresInSeconds"] == 3600
        request = SetVoice(registered=answer["name"], voice_token=answer["voiceToken"])
        chosen = await under_test.service.own_voices.resolve(request)
        assert chosen.answer.text == answer["text"]
        path = f"/voices/{answer['name']}"
        async with client.delete(path) as response:
            assert response.status == 403
        async with client.delete(path, headers={"Voice-Token": answer["voiceToken"]}) as response:
            assert response.status == 200
        assert isinstance(await refusal(under_test.service.own_voices, request), PermissionDenied)


async def test_a_voice_is_kept_by_name_with_consent(gateway, wav, tmp_path):
    store = tmp_path / "voices"
    async with gateway(voice_store=str(store)) as under_test, client_of(under_test) as client:
        status, answer = await post(client, form(wav(), name="anna"))
        assert (status, answer["error"]["field"]) == (400, "consent")
        status, answer = await post(client, form(wav(), text=TEXT, **KEPT))
        assert (status, answer["name"], answer["text"], answer["expiresInSeconds"]) == (201, "anna", TEXT, None)
        assert len(list(store.iterdir())) == 1
        status, again = await post(client, form(wav(), text=TEXT, **KEPT))
        assert (status, again["error"]["field"]) == (400, "name")
        async with client.delete("/voices/anna", headers={"Voice-Token": answer["voiceToken"]}) as response:
            assert response.status == 200
        assert not list(store.iterdir())


async def test_the_speakers_of_the_checkpoint_are_listed(gateway):
    async with gateway() as under_test, client_of(under_test) as client, client.get("/voices") as response:
        speakers = [{"id": 0, "name": "clear"}, {"id": 10, "name": "deep"}]
        assert await response.json() == {"speakers": speakers, "keeps": False}
        assert response.headers["Cache-Control"] == "no-store"


async def test_bad_uploads_name_their_field(gateway, wav):
    async with gateway(max_clip_bytes=1 << 18) as under_test, client_of(under_test) as client:
        for data, field in (
            (b"RIFF", "body"),
            (aiohttp.FormData({"text": "hello"}), "body"),
            (form(b"no sound"), "audio"),
            (form(b""), "audio"),
            (form(bytes(1 << 19)), "audio"),
            (form(wav(silence(4.0))), "audio"),
            (form(wav(), text="Something else entirely was said in this one."), "text"),
            (form(wav(), text=io.BytesIO(b"\xff\xfe")), "text"),
            (form(wav(), consent="maybe"), "consent"),
            (form(wav(), name="x" * 65, consent="true"), "name"),
            (form(wav(), other="x"), "body"),
        ):
            status, answer = await post(client, data)
            assert (status, answer["error"]["field"]) == (400, field)
        status, answer = await post(client, form(wav(), **KEPT))
        assert (status, answer["error"]["type"]) == (501, "Unsupported")


async def test_voices_need_the_token_and_the_page_of_the_gateway(gateway, wav):
    async with gateway(http_token="secret") as under_test, client_of(under_test) as client:
        for method, path in (("GET", "/voices"), ("POST", "/voices"), ("DELETE", "/voices/anna")):
            async with client.request(method, path) as response:
                assert response.status == 401
        status, answer = await post(client, form(wav()), Authorization="Bearer secret", Origin="https://other.example")
        assert (status, answer["error"]["type"]) == (403, "OriginRefused")
        assert (await post(client, form(wav()), Authorization="Bearer secret"))[0] == 201


async def test_a_slow_upload_is_given_up_and_uploads_are_limited(gateway, wav, monkeypatch):
    monkeypatch.setattr("services.gateway.transport.http.voices.UPLOADS_AT_ONCE", 1)
    started, release = asyncio.Event(), asyncio.Event()

    async def body():
        yield b"--x\r\nContent-Disposition: form-data; name=audio\r\n\r\n"
        started.set()
        await release.wait()

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with gateway(http_body_s=5.0) as under_test:
        async with client_of(under_test) as client:
            slow = asyncio.create_task(post(client, body(), **headers))
            await started.wait()
            while metric_busy(under_test) == 0:
                await asyncio.sleep(0.01)
            status, answer = await post(client, form(wav()))
            assert (status, answer["error"]["type"]) == (429, Busy.__name__)
            status, answer = await slow
            assert (status, answer["error"]["type"]) == (408, "RequestTooSlow")
            release.set()
            assert (await post(client, form(wav())))[0] == 201
        # a connection that was answered before its upload was complete lingers for a while
        await until(lambda: not under_test.service.http._runner.server.connections)


def metric_busy(under_test):
    return len(under_test.service.voice_routes.uploads)
