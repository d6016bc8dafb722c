"""The emotion service over a real port."""

from __future__ import annotations

import asyncio
import csv
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from oviya.audio.pcm import F32LE, S16LE, encode_pcm
from oviya.emotions.tables import DATA
from oviya.errors import Busy, CheckpointError, InvalidInput, Timeout
from oviya.mesh.probe import is_serving
from oviya.status import error_from_rpc
from oviya.v1 import common_pb2, emotion_pb2, emotion_pb2_grpc
from oviya.writing import write
from services.emotion import metrics
from services.emotion.server import EmotionService
from services.emotion.settings import EmotionSettings
from tests.support.exchange import exchange_for_one
from tests.support.serving import serve_for_test
from tests.support.speech import silence, speak
from tests.support.styled_speech import speak_in

TIMEOUT_S = 90
TEXT = "we had soup for lunch and then went back to work"
EARLIER = ("the shop on the corner opens at eight", "i took the bus to the office today", "my train was late again")


@asynccontextmanager
async def serving(**settings):
    async with serve_for_test(EmotionService(EmotionSettings(**settings))) as served:
        yield served, emotion_pb2_grpc.EmotionServiceStub(served.channel)


async def detect(stub, *pieces: str):
    return await send(stub, *(emotion_pb2.DetectRequest(text=piece) for piece in pieces))


async def send(stub, *messages):
    return await exchange_for_one(stub.Detect(timeout=TIMEOUT_S), messages)


async def hear(stub, text, sound, state=None, *, rate_hz=16_000, encoding=S16LE):
    """Sends a speaker's state, words and sound; None leaves one out."""
    wire = common_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz) if sound is not None else None
    messages = [emotion_pb2.DetectRequest(config=emotion_pb2.DetectConfig(format=wire, state=state))]
    if text is not None:
        messages.append(emotion_pb2.DetectRequest(text=text))
    if sound is not None:
        pieces = (encode_pcm(sound[start : start + 5000], encoding) for start in range(0, len(sound), 5000))
        messages += [emotion_pb2.DetectRequest(audio=piece) for piece in pieces]
    return await send(stub, *messages)


async def refusal(call) -> InvalidInput:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    error = error_from_rpc(caught.value, "emotion")
    assert isinstance(error, InvalidInput)
    return error


async def test_it_is_serving_once_it_is_warm():
    async with serving() as (served, _):
        assert await asyncio.to_thread(is_serving, served.address, "oviya.v1.EmotionService")


async def test_list_has_all_49_in_the_order_of_the_table():
    with (DATA / "emotions.tsv").open(encoding="utf-8") as lines:
        table = list(csv.DictReader(lines, delimiter="\t"))
    async with serving() as (_, stub):
        listed = (await stub.ListEmotions(emotion_pb2.ListEmotionsRequest(), timeout=TIMEOUT_S)).emotions
        assert [info.plan.emotion for info in listed] == [row["emotion"] for row in table]
        for info, row in zip(listed, table, strict=True):
            assert (info.tier, info.plan.style) == (int(row["tier"]), row["style"])
            assert info.plan.pitch_scale == pytest.approx(float(row["pitch_scale"]))
            assert info.plan.rate_scale == pytest.approx(float(row["rate_scale"]))
            assert info.plan.energy_scale == pytest.approx(float(row["energy_scale"]))
            for name in [info.plan.emotion, *info.aliases]:
                answer = await stub.Map(emotion_pb2.MapRequest(emotion=name), timeout=TIMEOUT_S)
                assert answer.plan == info.plan


async def test_map_takes_an_alias_and_an_intensity():
    async with serving() as (_, stub):
        full = await stub.Map(emotion_pb2.MapRequest(emotion="joy"), timeout=TIMEOUT_S)
        assert (full.plan.emotion, full.alias_label) == ("joyful_excited", "happy")
        half = await stub.Map(emotion_pb2.MapRequest(emotion="JOY", intensity=0.5), timeout=TIMEOUT_S)
        assert half.plan.pitch_scale == pytest.approx(1.075)
        # An intensity of zero was set, and is not the default of 1.
        none = await stub.Map(emotion_pb2.MapRequest(emotion="joy", intensity=0.0), timeout=TIMEOUT_S)
        assert (none.plan.style, none.plan.energy_scale) == ("neutral", 1.0)
        empty = await stub.Map(emotion_pb2.MapRequest(), timeout=TIMEOUT_S)
        assert (empty.plan.emotion, empty.alias_label) == ("neutral", "")


async def test_map_refuses_bad_input_and_goes_on():
    async with serving() as (_, stub):
        unknown = await refusal(stub.Map(emotion_pb2.MapRequest(emotion="hapy"), timeout=TIMEOUT_S))
        assert (unknown.field, unknown.value, unknown.suggestions[0]) == ("emotion", "hapy", "happy")
        megabyte = await refusal(stub.Map(emotion_pb2.MapRequest(emotion="e" * (1 << 20)), timeout=TIMEOUT_S))
        assert megabyte.field == "emotion"
        for intensity in (-0.5, 1.5, float("nan")):
            error = await refusal(
                stub.Map(emotion_pb2.MapRequest(emotion="joy", intensity=intensity), timeout=TIMEOUT_S)
            )
            assert (error.field, error.limit) == ("intensity", "0 to 1")
        assert (await stub.Map(emotion_pb2.MapRequest(emotion="calm"), timeout=TIMEOUT_S)).plan.style == "calm"


async def test_map_mixes_a_second_emotion_in():
    async with serving() as (_, stub):
        joy = await stub.Map(emotion_pb2.MapRequest(emotion="joyful_excited"), timeout=TIMEOUT_S)
        both = await stub.Map(
            emotion_pb2.MapRequest(emotion="joyful_excited", blend="calm", blend_share=0.5), timeout=TIMEOUT_S
        )
        assert both.plan.style == "joy"
        assert both.plan.pitch_scale == pytest.approx((1.15 * 0.9) ** 0.5, abs=1e-3)
        assert 0.8 < both.plan.energy_scale < joy.plan.energy_scale
        for share in (-0.1, 0.6, float("nan")):
            request = emotion_pb2.MapRequest(emotion="joy", blend="calm", blend_share=share)
            assert (await refusal(stub.Map(request, timeout=TIMEOUT_S))).field == "blend_share"
        unknown = await refusal(stub.Map(emotion_pb2.MapRequest(emotion="joy", blend="clam"), timeout=TIMEOUT_S))
        assert unknown.field == "blend"


async def test_detect_joins_the_pieces():
    async with serving() as (_, stub):
        split = await detect(stub, "i am so ha", "ppy to", "day")
        assert split == await detect(stub, "i am so happy today")
        assert split.emotions[0].emotion == "joyful_excited"
        assert split.valence > 0.5
        assert 0.5 < split.confidence <= 1
        assert split.text.labels[0].label == "joy"
        assert not split.HasField("voice")
        assert (split.tone.mirror, split.tone.reason) == ("joyful_excited", "joy is shared")
        assert (await detect(stub, "")).emotions[0].emotion == "neutral"


async def test_words_that_are_not_english_are_not_judged():
    async with serving() as (_, stub):
        words = emotion_pb2.DetectRequest(text="I am so happy today.")
        for language, judged in (("en", True), ("", True), ("en-GB", True), ("de", False)):
            config = emotion_pb2.DetectRequest(config=emotion_pb2.DetectConfig(language=language))
            answer = await send(stub, config, words)
            assert answer.HasField("text") == judged
            assert answer.emotions[0].emotion == ("joyful_excited" if judged else "neutral")
        config = emotion_pb2.DetectRequest(config=emotion_pb2.DetectConfig(language="German"))
        assert (await refusal(send(stub, config, words))).field == "config.language"


async def test_a_transcript_means_the_same_with_and_without_case_and_punctuation():
    async with serving() as (_, stub):
        for written, plain in (
            ("I'm so happy. I got the job!", "i'm so happy i got the job"),
            ("I feel really sad today, and I don't know why.", "i feel really sad today and i don't know why"),
            ("Yeah.", "yeah"),
            ("I'm tired, but I can't sleep.", "i'm tired but i can't sleep"),
        ):
            answers = [await detect(stub, text) for text in (written, plain)]
            assert answers[0].emotions[0].emotion == answers[1].emotions[0].emotion, written
            assert answers[0].intensity == pytest.approx(answers[1].intensity, abs=0.1)


async def test_detect_hears_the_voice_against_what_it_was_told_of_the_speaker():
    """The state is sent with every call, so that any replica can answer."""
    state = emotion_pb2.SpeakerState()
    async with serving() as (_, stub):
        for text in EARLIER:
            state = (await hear(stub, text, speak_in("neutral", text), state)).state
        assert 1 < state.voice_weight <= len(EARLIER)
        sad = await hear(stub, TEXT, speak_in("sad", TEXT), state)
        joyful = await hear(stub, TEXT, speak_in("joyful", TEXT), state)
        assert sad.voice.valence < 0 < joyful.voice.valence
        assert sad.voice.arousal < 0 < joyful.voice.arousal
        assert sad.text == joyful.text
        assert sad.tone.mirror != joyful.tone.mirror
        assert sad.tone.feeling == sad.emotions[0].emotion == "melancholic"
        assert sad.tone.mirror == "empathetic_sad"
        assert any("quieter" in note for note in sad.voice.notes)
        alone = await hear(stub, None, speak_in("sad", TEXT), state)
        assert not alone.HasField("text")
        assert alone.valence < 0


async def test_detect_takes_any_rate_and_both_encodings():
    sound = speak(TEXT, 48_000)
    async with serving() as (_, stub):
        wide = await hear(stub, TEXT, sound, rate_hz=48_000, encoding=F32LE)
        narrow = await hear(stub, TEXT, speak(TEXT, 16_000))
        assert wide.voice.valence == pytest.approx(narrow.voice.valence, abs=0.1)


async def test_silence_and_noise_have_no_voice():
    async with serving() as (_, stub):
        noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
        for sound in (np.zeros(0, np.float32), silence(2.0), noise):
            judged = await hear(stub, "i am so happy today", sound)
            assert not judged.HasField("voice")
            assert judged.emotions[0].emotion == "joyful_excited"


async def test_a_mood_does_not_jump():
    async with serving() as (_, stub):
        grief = await hear(stub, "my mother died and i am so sad", None)
        joy = await hear(stub, "i am so happy today", None, grief.state)
        fresh = await detect(stub, "i am so happy today")
        assert joy.valence < fresh.valence - 0.3
        again = await hear(stub, "i am so happy today", None, joy.state)
        assert again.emotions[0].emotion == "joyful_excited"


async def test_detect_refuses_bad_input_and_goes_on():
    async with serving() as (_, stub):
        error = await refusal(detect(stub, "a" * (1 << 20)))
        assert (error.field, error.value, error.limit) == (
            "text", "1048576 characters", "at most 8192 characters in total",
        )  # fmt: skip
        assert (await refusal(detect(stub, "a" * 8000, "b" * 193))).value == "8193 characters"
        assert (await refusal(detect(stub))).field == "request"
        assert (await refusal(send(stub, emotion_pb2.DetectRequest()))).field == "request"
        assert (await detect(stub, "a" * 8192)).emotions[0].emotion == "neutral"


async def test_detect_refuses_bad_sound_and_states_and_goes_on():
    audio, config = emotion_pb2.DetectRequest(audio=b"\0\0" * 100), emotion_pb2.DetectConfig
    wire = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=16_000)
    state = emotion_pb2.SpeakerState
    async with serving() as (_, stub):

        async def refused(*messages) -> str:
            return (await refusal(send(stub, *messages))).field

        def configured(**fields):
            return emotion_pb2.DetectRequest(config=config(**fields))

        ready = configured(format=wire)
        assert await refused(audio) == "audio"
        assert await refused(ready, emotion_pb2.DetectRequest(audio=b"\0")) == "audio"
        assert await refused(audio, ready) == "audio"
        assert await refused(ready, ready) == "config"
        assert (
            await refused(configured(format=common_pb2.AudioFormat(sample_rate_hz=4))) == "config.format.sample_rate_hz"
        )
        floats = configured(format=common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=16_000))
        nan = emotion_pb2.DetectRequest(audio=np.array([0, np.nan], "<f4").tobytes())
        assert await refused(floats, nan) == "audio[1]"
        minute = [emotion_pb2.DetectRequest(audio=bytes(1 << 20))] * 2
        assert await refused(ready, *minute) == "audio"
        text = emotion_pb2.DetectRequest(text="hello")
        for wrong, field in (
            (state(voice_means=[1.0], voice_weight=1), "config.state"),
            (state(voice_means=[float("nan")] * 8, voice_weight=1), "config.state"),
            (state(voice_means=[0.0] * 8, voice_weight=1e9), "config.state"),
            (state(mood=[emotion_pb2.EmotionScore(emotion="joy", score=1)]), "config.state.mood[0].emotion"),
            (state(mood=[emotion_pb2.EmotionScore(emotion="bored", score=2)]), "config.state.mood[0].score"),
            (state(mood=[emotion_pb2.EmotionScore(emotion="bored", score=0.1)] * 6), "config.state.mood"),
            (state(valence=float("nan")), "config.state.valence"),
            (state(arousal=-2), "config.state.arousal"),
        ):
            assert await refused(configured(state=wrong), text) == field
        assert (await detect(stub, "i love you")).emotions[0].emotion == "affectionate"


async def test_a_voice_model_that_is_not_there_stops_the_service():
    with pytest.raises(CheckpointError, match="no such folder"):
        EmotionService(EmotionSettings(voice_backend="hub", voice_model="./nowhere"))
    with pytest.raises(CheckpointError, match="nowhere"):
        EmotionService(EmotionSettings(text_model="./nowhere"))


async def test_a_full_service_refuses_detect_before_it_reads_and_has_room_later():
    async with serving(detect_slots=2) as (served, stub):
        held = [stub.Detect(timeout=TIMEOUT_S) for _ in range(2)]
        for call in held:
            await call.write(emotion_pb2.DetectRequest(text="I am "))
        async with asyncio.timeout(TIMEOUT_S), grpc.aio.insecure_channel(served.address) as channel:
            plain = emotion_pb2_grpc.EmotionServiceStub(channel)  # without the mesh's retries
            while metrics.DETECTING._value.get() < 2:
                await asyncio.sleep(0.01)
            refused = plain.Detect(timeout=TIMEOUT_S)  # has sent nothing yet
            with pytest.raises(grpc.RpcError) as caught:
                await refused
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        metadata: Any = caught.value.trailing_metadata()
        assert "grpc-retry-pushback-ms" in dict(metadata)
        error = error_from_rpc(caught.value, "emotion")
        assert isinstance(error, Busy)
        for call in held:
            await call.write(emotion_pb2.DetectRequest(text="happy"))
            await call.done_writing()
            assert (await call).text.labels
        assert (await detect(stub, TEXT)).text.labels


async def test_a_cancelled_detect_gives_its_place_back():
    async with serving(detect_slots=1) as (_, stub):
        for _attempt in range(3):
            call = stub.Detect(timeout=TIMEOUT_S)
            await call.write(emotion_pb2.DetectRequest(text="I am "))
            call.cancel()
        assert (await detect(stub, TEXT)).text.labels  # the channel retries while the last one is let go


@pytest.mark.parametrize(("limit", "messages"), [("stall_s", 1), ("detect_s", 100)])
async def test_a_caller_that_stalls_or_never_ends_is_let_go(limit, messages):
    async with serving(**{limit: 0.5, "detect_slots": 1}) as (_, stub):
        call = stub.Detect(timeout=TIMEOUT_S)
        for _ in range(messages):
            if not await write(call, emotion_pb2.DetectRequest(text="")):
                break
            await asyncio.sleep(0.02)
        with pytest.raises(grpc.RpcError) as caught:
            await call
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert isinstance(error_from_rpc(caught.value, "emotion"), Timeout)
        assert (await detect(stub, TEXT)).text.labels


async def test_sound_in_single_samples_is_judged_like_sound_in_one_piece():
    sound = encode_pcm(speak(TEXT)[:16_000], S16LE)
    config = emotion_pb2.DetectConfig(format=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=16_000))

    async def judged(size):
        def requests():
            yield emotion_pb2.DetectRequest(config=config)
            for start in range(0, len(sound), size):
                yield emotion_pb2.DetectRequest(audio=sound[start : start + size])

        return await stub.Detect(requests(), timeout=60)

    async with serving() as (_, stub):
        assert await judged(2) == await judged(len(sound))


async def test_a_name_of_a_megabyte_is_refused_at_once():
    async with serving() as (_, stub):
        error = await refusal(stub.Map(emotion_pb2.MapRequest(emotion="a-" * (1 << 19)), timeout=TIMEOUT_S))
        assert error.field == "emotion"
        assert len(error.value) <= 100
