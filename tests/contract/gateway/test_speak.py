"""Speak over a real port: voices, formats, faults."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.audio.pcm import F32LE, S16LE
from oviya.errors import Busy, InvalidInput
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, conversation_pb2
from services.csm.server import CsmService
from services.csm.settings import CsmSettings
from services.mimi.server import MimiService
from services.mimi.settings import MimiSettings
from tests.support.checkpoints.mimi import TINY, reference_mimi, save_mimi
from tests.support.gateway_mesh import gateway_with, wait_for_state
from tests.support.scripted_services import TONE_HZ, ScriptedCsm, ScriptedMimi

CSM, FALLBACK = conversation_pb2.VOICE_CSM, conversation_pb2.VOICE_FALLBACK
UNKNOWN: Any = 7
THREE = "Dr. Smith paid 3.50 today. Really? Yes!"


def share_at(samples: np.ndarray, rate_hz: int, tone_hz: float) -> float:
    """Share of the power within 20 Hz of a tone."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    near = np.abs(np.fft.rfftfreq(len(samples), 1 / rate_hz) - tone_hz) < 20
    return float(power[near].sum() / power.sum())


async def test_fallback_voice_speaks_sentence_by_sentence():
    async with gateway_with() as gateway:
        heard = await gateway.speak(THREE, emotion="joy")
    assert [sentence.text for sentence in heard.of("sentence")] == ["Dr. Smith paid 3.50 today.", "Really?", "Yes!"]
    assert [sentence.index for sentence in heard.of("sentence")] == [0, 1, 2]
    assert {sentence.voice for sentence in heard.of("sentence")} == {FALLBACK}
    assert {sentence.plan.emotion for sentence in heard.of("sentence")} == {"joyful_excited"}
    assert [degraded.service for degraded in heard.of("degraded")] == ["csm"]  # told, since nobody asked for this voice
    (ended,) = heard.of("ended")
    sound = heard.sound()
    assert ended.duration.ToTimedelta().total_seconds() == pytest.approx(len(sound) / 24_000, abs=0.001)
    assert 0.3 < np.abs(sound).max() <= 1.0
    assert ended.latency.HasField("first_audio")
    assert not ended.latency.HasField("first_frame")
    assert heard.kinds()[-1] == "ended"


async def test_asked_for_fallback_is_not_degraded():
    async with gateway_with() as gateway:
        heard = await gateway.speak("Hello.", voice=FALLBACK)
    assert not heard.of("degraded")


@pytest.mark.parametrize(("encoding", "rate_hz"), [(S16LE, 8_000), (F32LE, 44_100), (S16LE, 48_000), (F32LE, 16_000)])
async def test_any_format_has_the_same_sound(encoding, rate_hz):
    async with gateway_with() as gateway:
        reference = await gateway.speak("Good morning.", voice=FALLBACK)
        other_format = common_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)
        heard = await gateway.speak("Good morning.", voice=FALLBACK, output=other_format)
    assert {(audio.format.encoding, audio.format.sample_rate_hz) for audio in heard.of("audio")} == {
        (encoding, rate_hz)
    }
    assert len(heard.sound()) / rate_hz == pytest.approx(len(reference.sound()) / 24_000, abs=0.002)
    levels = [np.sqrt(np.mean(sound.sound() ** 2)) for sound in (heard, reference)]
    assert levels[0] == pytest.approx(levels[1], rel=0.15)


async def test_trained_csm_speaks_through_mimi():
    csm = ScriptedCsm()
    async with gateway_with(csm, ScriptedMimi()) as gateway:
        assert gateway.service.readiness.report()["voice"] == {"name": "csm", "reason": ""}
        heard = await gateway.speak("One. Two.", emotion="calm_supportive", seed=7, speaker=3)
    assert {sentence.voice for sentence in heard.of("sentence")} == {CSM}
    assert not heard.of("degraded")
    assert len(heard.sound()) == 2 * csm.frames * 1920
    assert share_at(heard.sound(), 24_000, TONE_HZ) > 0.9
    assert heard.of("ended")[0].latency.HasField("first_frame")
    first, second = csm.requests
    assert (first.text, first.speaker, first.style, first.sampling.seed) == ("One.", 3, "calm", 7)
    assert second.sampling.seed == 8
    assert not first.context
    assert [(segment.text, segment.speaker) for segment in second.context] == [("One.", 3)]
    assert len(second.context[0].audio.codes) == csm.frames * 8


async def test_untrained_csm_speaks_when_asked_for_by_name():
    """The real services with random checkpoints: the RVQ path end to end."""
    csm, mimi = CsmService(CsmSettings(checkpoint="random")), MimiService(MimiSettings(checkpoint="random"))
    async with gateway_with(csm, mimi) as gateway:
        auto = await gateway.speak("Hello.")
        assert [sentence.voice for sentence in auto.of("sentence")] == [FALLBACK]
        assert [degraded.service for degraded in auto.of("degraded")] == ["csm"]
        first = await gateway.speak("Hi.", voice=CSM, seed=1)
        again = await gateway.speak("Hi.", voice=CSM, seed=1)
        other = await gateway.speak("Hi.", voice=CSM, seed=2)
    assert [sentence.voice for sentence in first.of("sentence")] == [CSM]
    assert len(first.sound()) % 1920 == 0
    assert np.array_equal(first.sound(), again.sound())
    assert not np.array_equal(first.sound(), other.sound())


async def test_checkpoints_that_do_not_belong_together_are_reported_and_not_used(tmp_path):
    """Somebody sets CSM's checkpoint and forgets Mimi's."""
    folder = save_mimi(reference_mimi(**{**TINY, "upsampling_ratios": [8, 6, 5, 4], "num_quantizers": 4}), tmp_path)
    mimi = MimiService(MimiSettings(checkpoint=str(folder)))
    async with gateway_with(CsmService(CsmSettings()), mimi) as gateway:
        heard = await gateway.speak("Hello.")
        report = gateway.service.readiness.report()
    assert [sentence.voice for sentence in heard.of("sentence")] == [FALLBACK]
    [degraded] = heard.of("degraded")
    assert degraded.service == "mimi"
    assert "4 codebooks" in degraded.message
    assert "CSM_CHECKPOINT and MIMI_CHECKPOINT must belong together" in degraded.message
    assert report["voice"]["name"] == "fallback"
    assert [problem["service"] for problem in report["degraded"] if problem["service"] in ("csm", "mimi")] == ["mimi"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": "?!…"}, "text"),
        ({"text": "a" * 8193}, "text"),
        ({"text": "a " * 500_000}, "text"),
        ({"speaker": 65_536}, "speaker"),
        ({"voice": 9}, "voice"),
        ({"lead": Duration(seconds=-1)}, "lead"),
        ({"lead": Duration(seconds=61)}, "lead"),
        ({"output": common_pb2.AudioFormat(sample_rate_hz=7_999)}, "output.sample_rate_hz"),
        ({"output": common_pb2.AudioFormat()}, "output.sample_rate_hz"),
        ({"output": common_pb2.AudioFormat(encoding=UNKNOWN, sample_rate_hz=16_000)}, "output.encoding"),
        ({"emotion": "hapy"}, "emotion"),
    ],
)
async def test_bad_input_names_the_field_and_the_next_call_works(fields, field):
    async with gateway_with() as gateway:
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.speak(**{"text": "Hello.", **fields})
        error = error_from_rpc(caught.value, "gateway")
        assert isinstance(error, InvalidInput)
        assert error.field == field
        assert error.limit or error.suggestions
        assert (await gateway.speak("Hello.")).of("ended")


async def test_unknown_emotion_offers_the_nearest():
    async with gateway_with() as gateway:
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.speak("Hello.", emotion="playfull")
    error = error_from_rpc(caught.value, "gateway")
    assert isinstance(error, InvalidInput)
    assert "playful" in error.suggestions


async def test_lead_paces_the_audio():
    """With 0.3 s of lead, the call lasts as long as its sound, less the lead; the whole is sent nevertheless."""
    loop = asyncio.get_running_loop()
    async with gateway_with(ScriptedCsm(frames=15), ScriptedMimi()) as gateway:
        started = loop.time()
        lead = Duration()
        lead.FromMilliseconds(300)
        heard = await gateway.speak("One.", lead=lead)
        paced_s = loop.time() - started
    assert len(heard.sound()) == 15 * 1920
    assert 15 * 0.08 - 0.3 - 0.01 <= paced_s < 15 * 0.08 + 1.0


async def test_caller_who_leaves_frees_the_engine():
    csm = ScriptedCsm(frames=100_000)
    made = []

    async def slow(frame: int) -> None:
        made.append(frame)
        await asyncio.sleep(0.01)

    csm.before = slow
    async with gateway_with(csm, ScriptedMimi(), max_speaks=1) as gateway:
        call = gateway.stub.Speak(conversation_pb2.SpeakRequest(text="One."))
        async for event in call:
            if event.WhichOneof("event") == "audio":
                break
        with pytest.raises(aio.AioRpcError) as caught:
            await gateway.speak("Two.")
        assert isinstance(error_from_rpc(caught.value, "gateway"), Busy)
        call.cancel()
        async with asyncio.timeout(60):
            frames = 0
            while frames < len(made):  # until none is made any more
                frames = len(made)
                await asyncio.sleep(0.2)
        csm.before = lambda frame: None
        csm.frames = 5
        heard = None
        async with asyncio.timeout(20):
            while heard is None:  # the gateway frees the place just after CSM's call has ended
                try:
                    heard = await gateway.speak("Two.")
                except aio.AioRpcError as error:
                    if not isinstance(error_from_rpc(error, "gateway"), Busy):
                        raise
                    await asyncio.sleep(0.01)
        assert heard.of("ended")


async def test_scales_shape_a_voice_that_lacks_the_style_and_no_other():
    """The scripted checkpoint knows the style calm alone, and speaks it by itself; sadness is put on its signal."""
    async with gateway_with(ScriptedCsm(frames=25), ScriptedMimi()) as gateway:
        lengths = {}
        for emotion in ("calm_supportive", "empathetic_sad", "joyful_excited"):
            heard = await gateway.speak("Hello there.", emotion=emotion, voice=CSM)
            lengths[emotion] = len(heard.sound()) / 24_000
    assert lengths["calm_supportive"] == pytest.approx(2.0, abs=0.01)
    assert lengths["empathetic_sad"] == pytest.approx(2.0 / 0.85, rel=0.03)
    assert lengths["joyful_excited"] == pytest.approx(2.0 / 1.05, rel=0.03)


async def spoken_by_csm(csm: ScriptedCsm, text: str, **fields: Any) -> Any:
    async with gateway_with(csm, ScriptedMimi()) as gateway:
        await wait_for_state(gateway.service, "csm", "serving")
        await wait_for_state(gateway.service, "mimi", "serving")
        return await gateway.speak(text, **fields)


async def test_every_text_is_said_in_words_and_shown_as_it_was_written():
    csm = ScriptedCsm()
    heard = await spoken_by_csm(csm, "It is 20\u00b0C, that costs \u20ac9.99, mail anna@example.com, 3+4=7")
    (sentence,) = heard.of("sentence")
    assert sentence.text == "It is 20\u00b0C, that costs \u20ac9.99, mail anna@example.com, 3+4=7"
    assert sentence.spoken == (
        "It is twenty degrees Celsius, that costs nine euros and ninety-nine cents, "
        "mail anna at example dot com, three plus four equals seven"
    )
    # CSM goes on talking where a text has no end.
    assert [request.text for request in csm.requests] == [f"{sentence.spoken}."]


async def test_earlier_sentences_are_given_to_csm_as_they_were_said():
    csm = ScriptedCsm()
    await spoken_by_csm(csm, "It costs $5. Well then.")
    assert [segment.text for segment in csm.requests[1].context] == ["It costs five dollars."]


async def test_only_emoji_is_said_and_signs_alone_are_refused():
    async with gateway_with() as gateway:
        (sentence,) = (await gateway.speak("\U0001f44d")).of("sentence")
        assert (sentence.text, sentence.spoken) == ("\U0001f44d", "thumbs up")
        for text in ("?", "...", "<|im_end|>", "*nods*"):
            with pytest.raises(aio.AioRpcError) as caught:
                await gateway.speak(text)
            error = error_from_rpc(caught.value, "gateway")
            assert isinstance(error, InvalidInput)
            assert error.field == "text"


async def test_a_script_that_the_checkpoint_does_not_speak_is_read_by_the_fallback_voice_in_its_language():
    csm = ScriptedCsm()
    csm.scripts = ["Latin"]
    text = "Hello. \u4f60\u597d\uff0c\u4e16\u754c\u3002 Say \u4f60\u597d to her. \u041f\u0440\u0438\u0432\u0435\u0442!"
    heard = await spoken_by_csm(csm, text)
    told = [(sentence.voice, sentence.language) for sentence in heard.of("sentence")]
    assert told == [(CSM, "en"), (FALLBACK, "cmn"), (CSM, "en"), (FALLBACK, "ru")]
    assert [request.text for request in csm.requests] == ["Hello.", "Say NiHao to her."]
    first, second = heard.of("degraded")
    assert "Latin" in first.message
    assert "Chinese (cmn)" in first.message
    assert "Russian (ru)" in second.message
    assert len(heard.sound()) > 24_000


async def test_a_script_that_csm_was_asked_for_and_does_not_speak_is_refused():
    csm = ScriptedCsm()
    csm.scripts = ["Latin"]
    with pytest.raises(aio.AioRpcError) as caught:
        await spoken_by_csm(csm, "\u4f60\u597d\uff0c\u4e16\u754c\u3002", voice=CSM)
    error = error_from_rpc(caught.value, "gateway")
    assert isinstance(error, InvalidInput)
    assert error.field == "text"
    assert "Latin" in error.limit
    assert csm.requests == []


async def test_a_checkpoint_that_says_nothing_speaks_any_script():
    csm = ScriptedCsm()
    heard = await spoken_by_csm(csm, "\u4f60\u597d\uff0c\u4e16\u754c\u3002")
    assert [sentence.voice for sentence in heard.of("sentence")] == [CSM]
    assert not heard.of("degraded")
