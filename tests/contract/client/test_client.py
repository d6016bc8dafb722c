"""The typed client against a scripted gateway on a real port: what it sends, what it yields, what it raises."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from oviya.audio.pcm import S16LE, decode_pcm
from oviya.client import (
    AudioChunk,
    Degraded,
    Evidence,
    FinalTranscript,
    Interrupted,
    KeptSession,
    KeptTurn,
    Oviya,
    OviyaSync,
    ReplyEnded,
    ReplyPaused,
    ReplyResumed,
    RequestFailed,
    Sentence,
    SessionStarted,
    SpeechStarted,
    SpeechToText,
    Tone,
    TurnDropped,
    TurnEnded,
    TurnFailed,
    UserEmotion,
    UserFeeling,
    VoiceSet,
    WordsSpoken,
)
from oviya.errors import Busy, InvalidInput, NotReady, Timeout, Unavailable, Unsupported
from oviya.v1 import (
    conversation_pb2,
)
from tests.support.scripted_gateway import TONE, ScriptedGateway
from tests.support.serving import serve_for_test


async def test_sessions_are_exported_and_deleted():
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        at = datetime(1970, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC)
        turn = KeptTurn(at, "user", "hi")
        assert await oviya.export_session("s1", "secret") == KeptSession("s1", (turn, turn), "Little.")  # 3 pages
        assert await oviya.delete_session("s1", "secret") == 1
        with pytest.raises(Unsupported, match="keeps no sessions"):
            await oviya.export_session("s2")
        with pytest.raises(Unsupported, match="keeps no sessions"):
            await oviya.delete_session("s2")


async def test_speak_sends_every_argument_and_yields_every_event():
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        events = [
            event
            async for event in oviya.speak(
                "Hello.", emotion="joy", speaker=7, voice="csm", seed=0, sample_rate_hz=16_000, lead_s=1.25
            )
        ]
        (request,) = served.service.servicer.speak_requests
    assert (request.text, request.emotion, request.speaker) == ("Hello.", "joy", 7)
    assert (request.voice, request.HasField("seed"), request.seed) == (conversation_pb2.VOICE_CSM, True, 0)
    assert (request.output.encoding, request.output.sample_rate_hz) == (S16LE, 16_000)
    assert (request.lead.seconds, request.lead.nanos) == (1, 250_000_000)
    sentence, audio, degraded, ended = events
    assert isinstance(sentence, Sentence)
    assert (sentence.index, sentence.text, sentence.voice) == (1, "Good.", "fallback")
    assert (sentence.plan.emotion, sentence.plan.style, sentence.plan.pitch_scale) == ("happy", "joy", 1.25)
    assert isinstance(audio, AudioChunk)
    assert audio.sample_rate_hz == 24_000
    np.testing.assert_array_equal(audio.samples, TONE)
    assert degraded == Degraded(0, "csm", "is down")
    assert isinstance(ended, ReplyEnded)
    assert ended.duration_s == pytest.approx(0.1)
    assert ended.latency.turn_end_s == 1.5
    assert ended.latency.first_audio_s == 0.0  # reached at once, which is not the same as never
    assert ended.latency.first_frame_s is None


async def test_an_unset_lead_leaves_the_choice_to_the_gateway_and_zero_does_not():
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        await oviya.say("one")
        async for _ in oviya.speak("two", lead_s=None):
            pass
        said, unset = served.service.servicer.speak_requests
    assert said.HasField("lead")
    assert said.lead == Duration()
    assert not unset.HasField("lead")
    assert not unset.HasField("seed")


async def test_say_returns_the_whole_in_both_clients():
    async with serve_for_test(ScriptedGateway()) as served:
        async with Oviya(served.address) as oviya:
            speech = await oviya.say("Hello.", emotion="joy")

        def blocking():
            with OviyaSync(served.address) as client:
                return client.say("Hello.", emotion="joy")

        blocking_speech = await asyncio.to_thread(blocking)
        first, second = served.service.servicer.speak_requests
    np.testing.assert_array_equal(speech.samples, TONE)
    np.testing.assert_array_equal(blocking_speech.samples, TONE)
    assert speech.sentences == blocking_speech.sentences
    assert first == second


async def test_errors_come_back_as_the_types_that_the_service_raised():
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        with pytest.raises(InvalidInput) as refused:
            await oviya.say("bad")
        with pytest.raises(Busy) as busy:
            await oviya.say("full")
        with pytest.raises(InvalidInput, match="voice"):
            await oviya.say("Hello.", voice="opera")

        def blocking():
            with OviyaSync(served.address) as client, pytest.raises(InvalidInput) as error:
                client.say("bad")
            return error.value

        blocking_error = await asyncio.to_thread(blocking)
        speech = await oviya.say("Hello.")  # the next call works
    assert (refused.value.field, refused.value.value) == ("emotion", "joyy")
    assert refused.value.suggestions == ("joy", "joyful")
    assert str(blocking_error) == str(refused.value)
    assert busy.value.retry_after_s == 2.5
    assert len(speech.samples) == len(TONE)


async def test_a_gateway_that_is_not_there_is_unavailable():
    async with Oviya("127.0.0.1:9") as oviya:
        with pytest.raises(Unavailable, match="gateway"):
            await oviya.say("Hello.")


async def test_a_stalled_stream_times_out_and_frees_the_server():
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address, stall_timeout_s=0.2) as oviya:
        with pytest.raises(Timeout, match=r"0\.2 s"):
            await oviya.say("hang")
        await asyncio.wait_for(served.service.servicer.cancelled.wait(), 5)


async def test_leaving_the_stream_cancels_the_call():
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        events = oviya.speak("hang")
        assert isinstance(await anext(events), Sentence)
        await events.aclose()
        await asyncio.wait_for(served.service.servicer.cancelled.wait(), 5)


async def test_a_conversation_sends_and_yields_everything():
    loud = np.array([0.5, -0.5, 1.5], np.float32)
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        async with oviya.converse(input_rate_hz=8000, session_id="mine", speaker=3, voice="fallback") as conversation:
            await conversation.send_audio(loud)
            await conversation.end_turn()
            await conversation.send_text("rude")
            await conversation.finish()
            events = [event async for event in conversation]
        config, audio, _, text = served.service.servicer.converse_requests
    assert (config.config.input.sample_rate_hz, config.config.session_id) == (8000, "mine")
    assert (config.config.speaker, config.config.voice) == (3, conversation_pb2.VOICE_FALLBACK)
    assert not config.config.HasField("lead")
    np.testing.assert_allclose(decode_pcm(audio.audio, S16LE), [0.5, -0.5, 1.0], atol=1e-4)
    assert text.text == "rude"
    started, speech, final, ended, emotion, feeling, sentence, chunk, reply_ended, failed = events
    assert started == SessionStarted(0, "s1", 24_000)
    assert speech == SpeechStarted(1, 0.25)
    assert isinstance(final, FinalTranscript)
    assert (final.text, final.words[0].start_s, final.words[0].end_s) == ("hi", 1.0, 2.0)
    assert ended == TurnEnded(1, "requested", 2.0)
    assert emotion == UserEmotion(1, "sad", 0.25)
    assert feeling == UserFeeling(
        1,
        emotions=(("sad", 0.25),),
        valence=-0.5,
        arousal=0.0,
        confidence=0.0,
        intensity=0.75,
        tone=Tone("sad", "tender", "calm", "curious", 0.5, "", 0.0, "so"),
        text=None,
        voice=Evidence((("low", 0.5),), 0.0, -0.25, 0.0, ("pitch 2.0 st lower",)),
    )
    assert isinstance(sentence, Sentence)
    assert isinstance(chunk, AudioChunk)
    assert (chunk.position_s, chunk.turn_id, sentence.turn_id) == (0.5, "0123456789ab", "")
    assert isinstance(reply_ended, ReplyEnded)
    assert isinstance(failed, TurnFailed)
    assert isinstance(failed.error, InvalidInput)
    assert failed.error.hint == "be kind"


async def test_a_conversation_can_be_interrupted_and_steered():
    clip = (np.array([0.5, -0.5], np.float32), 8000)
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        phrases = ["computer, stop"]
        async with oviya.converse(stop_phrases=phrases, echo_cancellation="caller") as conversation:
            await conversation.played(1, 0.75)
            await conversation.interrupt()
            await conversation.set_voice(clip=clip, text="So it goes.", keep_as="ann", consent=True)
            await conversation.set_emotion("joyy")
            await conversation.set_voice(speaker=0)
            await conversation.set_voice(registered="ann", voice_token="hush")
            await conversation.finish()
            events = [event async for event in conversation]
        config, played, interrupt, voice, emotion, speaker, registered = served.service.servicer.converse_requests
    assert list(config.config.stop_phrases) == phrases
    assert config.config.echo_cancellation == conversation_pb2.ECHO_CANCELLATION_CALLER
    assert (played.played.turn, played.played.position) == (1, Duration(nanos=750_000_000))
    assert interrupt.WhichOneof("request") == "interrupt"
    assert (voice.set_voice.clip.text, voice.set_voice.clip.consent) == ("So it goes.", True)
    assert voice.set_voice.keep_as == "ann"
    sent = voice.set_voice.clip.audio
    assert sent.format.sample_rate_hz == 8000
    np.testing.assert_allclose(decode_pcm(sent.pcm, sent.format.encoding), clip[0], atol=1e-4)
    assert emotion.set_emotion.emotion == "joyy"
    assert speaker.set_voice.WhichOneof("source") == "speaker"  # although it is 0
    assert (registered.set_voice.registered, registered.set_voice.voice_token) == ("ann", "hush")
    assert events[1:6] == [
        WordsSpoken(1, 1, 4),
        ReplyPaused(1, 0.75),
        TurnDropped(2, "backchannel", "mm-hm"),
        ReplyResumed(1, 0.5),
        Interrupted(1, "requested", "Good.", "Bad.", 2.0, turn_id="0123456789ab"),
    ]
    voice_set, failed, *_ = events[6:]
    assert voice_set == VoiceSet(0, "ann", "hush", "So it goes.")
    assert "hush" not in repr(voice_set)
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, InvalidInput)
    assert failed.error.value == "joyy"


@pytest.mark.parametrize("sources", [{}, {"speaker": 1, "registered": "ann"}])
async def test_a_voice_has_exactly_one_source(sources):
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        async with oviya.converse() as conversation:
            with pytest.raises(InvalidInput, match="exactly one"):
                await conversation.set_voice(**sources)
        with pytest.raises(InvalidInput, match="gateway, caller"):
            oviya.converse(echo_cancellation="nobody")


async def test_any_number_of_tasks_may_send():
    long = np.zeros(1_000_000, np.float32)  # more than gRPC buffers, so that writes wait for one another
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        async with oviya.converse() as conversation:
            await asyncio.gather(*(conversation.send_audio(long) for _ in range(3)), conversation.interrupt())
            await conversation.finish()
            async for _ in conversation:
                pass
        requests = served.service.servicer.converse_requests
    assert sum(len(request.audio) for request in requests) == 3 * 2 * len(long)
    assert sum(request.HasField("interrupt") for request in requests) == 1


async def test_long_audio_is_split_into_messages_that_the_contract_allows():
    async with serve_for_test(ScriptedGateway()) as served, Oviya(served.address) as oviya:
        async with oviya.converse() as conversation:
            await conversation.send_audio(np.zeros(1_000_000, np.float32))
            await conversation.finish()
            async for _ in conversation:
                pass
        sizes = [len(request.audio) for request in served.service.servicer.converse_requests[1:]]
    assert sizes == [1 << 20, 2_000_000 - (1 << 20)]


async def test_sending_into_a_conversation_that_is_over_says_so():
    async with (
        serve_for_test(ScriptedGateway()) as served,
        Oviya(served.address) as oviya,
        oviya.converse() as conversation,
    ):
        await conversation.send_text("leave")
        async for _ in conversation:
            pass
        with pytest.raises(NotReady, match="over"):
            await conversation.send_text("anyone?")


async def test_transcribe_takes_an_array_or_a_live_stream():
    async def microphone():
        for _ in range(4):
            yield np.zeros(4000, np.float32)

    async with serve_for_test(ScriptedGateway()) as served, SpeechToText(served.address) as stt:
        from_array = [event async for event in stt.transcribe(np.zeros(16_000, np.float32), 16_000)]
        from_stream = [event async for event in stt.transcribe(microphone(), 16_000)]
    assert from_array == from_stream
    assert from_array[-1] == FinalTranscript(3, "16000 at 16000", (), "de")
    assert len(from_array) == 2
