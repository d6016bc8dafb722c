"""A gateway and speech-to-text service that answer with one of each event, for tests of the client."""

from __future__ import annotations

import asyncio

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from oviya.audio.pcm import F32LE, encode_pcm
from oviya.errors import Busy, InvalidInput, Unsupported
from oviya.mesh.service import Service
from oviya.mesh.settings import ServiceSettings
from oviya.status import detail_of
from oviya.v1 import (
    brain_pb2,
    common_pb2,
    conversation_pb2,
    conversation_pb2_grpc,
    emotion_pb2,
    stt_pb2,
    stt_pb2_grpc,
)

FEELING = emotion_pb2.DetectResponse(
    emotions=[emotion_pb2.EmotionScore(emotion="sad", score=0.25)],
    valence=-0.5,
    intensity=0.75,
    tone=emotion_pb2.Tone(feeling="sad", mirror="tender", support="calm", ask="curious", intensity=0.5, reason="so"),
    voice=emotion_pb2.Evidence(
        labels=[emotion_pb2.LabelScore(label="low", score=0.5)], arousal=-0.25, notes=["pitch 2.0 st lower"]
    ),
)
TONE = np.sin(np.arange(2400, dtype=np.float32) / 10).astype(np.float32) * np.float32(0.5)
PLAN = emotion_pb2.ProsodyPlan(emotion="happy", style="joy", temperature=0.75, pitch_scale=1.25, rate_scale=1.5)
SENTENCE = conversation_pb2.ReplySentence(index=1, text="Good.", plan=PLAN, voice=conversation_pb2.VOICE_FALLBACK)
ENDED = conversation_pb2.ReplyEnded(
    duration=Duration(nanos=100_000_000),
    latency=conversation_pb2.TurnLatency(turn_end=Duration(seconds=1, nanos=500_000_000), first_audio=Duration()),
)
AUDIO = common_pb2.Audio(
    format=common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=24_000), pcm=encode_pcm(TONE, F32LE)
)
ANSWERS = {
    "interrupt": [
        conversation_pb2.ConverseResponse(
            turn=1,
            turn_id="0123456789ab",
            interrupted=conversation_pb2.Interrupted(
                reason=conversation_pb2.INTERRUPT_REASON_REQUESTED,
                heard_text="Good.",
                unheard_text="Bad.",
                position=Duration(seconds=2),
            ),
        )
    ],
    "played": [
        conversation_pb2.ConverseResponse(turn=1, words_spoken=conversation_pb2.WordsSpoken(index=1, chars=4)),
        conversation_pb2.ConverseResponse(
            turn=1, reply_paused=conversation_pb2.ReplyPaused(position=Duration(nanos=750_000_000))
        ),
        conversation_pb2.ConverseResponse(
            turn=2,
            turn_dropped=conversation_pb2.TurnDropped(reason=conversation_pb2.DROP_REASON_BACKCHANNEL, text="mm-hm"),
        ),
        conversation_pb2.ConverseResponse(
            turn=1, reply_resumed=conversation_pb2.ReplyResumed(position=Duration(nanos=500_000_000))
        ),
    ],
    "set_voice": [
        conversation_pb2.ConverseResponse(
            voice_set=conversation_pb2.VoiceSet(registered="ann", voice_token="hush", text="So it goes.")
        )
    ],
    "set_emotion": [
        conversation_pb2.ConverseResponse(request_failed=detail_of(InvalidInput("emotion", "joyy", "must be known")))
    ],
}
"""What each request is answered with."""


class ScriptedGatewayServicer(conversation_pb2_grpc.ConversationServiceServicer, stt_pb2_grpc.SttServiceServicer):
    """Keeps what it was sent and answers with one of each event; some texts make it fail."""

    def __init__(self):
        self.speak_requests: list[conversation_pb2.SpeakRequest] = []
        self.converse_requests: list[conversation_pb2.ConverseRequest] = []
        self.cancelled = asyncio.Event()

    async def Speak(self, request, context):
        self.speak_requests.append(request)
        match request.text:
            case "bad":
                raise InvalidInput("emotion", "joyy", "must be one of the 49", suggestions=["joy", "joyful"])
            case "full":
                yield conversation_pb2.SpeakResponse(sentence=SENTENCE)
                raise Busy("every slot is taken", retry_after_s=2.5)
        try:
            yield conversation_pb2.SpeakResponse()  # what a newer server's new event looks like
            yield conversation_pb2.SpeakResponse(sentence=SENTENCE)
            yield conversation_pb2.SpeakResponse(audio=AUDIO)
            if request.text == "hang":
                await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        yield conversation_pb2.SpeakResponse(degraded=conversation_pb2.Degraded(service="csm", message="is down"))
        yield conversation_pb2.SpeakResponse(ended=ENDED)

    async def Converse(self, request_iterator, context):
        response = conversation_pb2.ConverseResponse
        async for request in request_iterator:
            self.converse_requests.append(request)
            match request.WhichOneof("request"):
                case "config":
                    output = request.config.output
                    yield response(session_started=conversation_pb2.SessionStarted(session_id="s1", output=output))
                case "interrupt" | "played" | "set_voice" | "set_emotion" as kind:
                    for event in ANSWERS[kind]:
                        yield event
                case "end_turn":
                    yield response(turn=1, speech_started=stt_pb2.SpeechStarted(start=Duration(nanos=250_000_000)))
                    word = stt_pb2.Word(text="hi", start=Duration(seconds=1), end=Duration(seconds=2), confidence=0.5)
                    yield response(turn=1, final=stt_pb2.Transcript(text="hi", words=[word]))
                    reason = stt_pb2.TURN_END_REASON_REQUESTED
                    yield response(turn=1, turn_ended=stt_pb2.TurnEnded(reason=reason, speech_end=Duration(seconds=2)))
                    score = emotion_pb2.EmotionScore(emotion="sad", score=0.25)
                    yield response(turn=1, user_emotion=score)
                    yield response(turn=1, user_feeling=FEELING)
                    yield response(turn=1, reply_sentence=SENTENCE)
                    position = Duration(nanos=500_000_000)
                    yield response(turn=1, turn_id="0123456789ab", position=position, audio=AUDIO)
                    yield response(turn=1, reply_ended=ENDED)
                case "text" if request.text == "leave":
                    return
                case "text":
                    refused = InvalidInput("text", request.text, "must be kind", hint="be kind")
                    yield response(turn=2, turn_failed=detail_of(refused))

    async def Transcribe(self, request_iterator, context):
        samples = 0
        async for request in request_iterator:
            if request.HasField("config"):
                rate = request.config.format.sample_rate_hz
            else:
                samples += len(request.audio) // 2
                if samples == rate:  # a second has arrived
                    yield stt_pb2.TranscribeResponse(partial=stt_pb2.Transcript(text="so"))
        yield stt_pb2.TranscribeResponse(turn=3, final=stt_pb2.Transcript(text=f"{samples} at {rate}", language="de"))

    async def GetModel(self, request, context):
        return stt_pb2.SttServiceGetModelResponse()

    async def ExportSession(self, request, context):
        if request.session_id != "s1":
            raise Unsupported("this gateway keeps no sessions")
        turn = brain_pb2.Turn(role=brain_pb2.ROLE_USER, text="hi")
        kept = conversation_pb2.KeptTurn(at=Timestamp(seconds=86_400, nanos=500_000_000), turn=turn)
        assert request.resume_token == "secret"
        following = {"": "second", "second": "third", "third": ""}[request.page_token]
        turns = [] if request.page_token == "second" else [kept]  # a page may be empty
        return conversation_pb2.ExportSessionResponse(turns=turns, summary="Little.", next_page_token=following)

    async def DeleteSession(self, request, context):
        if request.session_id != "s1":
            raise Unsupported("this gateway keeps no sessions")
        assert request.resume_token == "secret"
        return conversation_pb2.DeleteSessionResponse(turns=1)


class ScriptedGateway(Service[ServiceSettings]):
    name = "gateway"
    grpc_services = ("oviya.v1.ConversationService", "oviya.v1.SttService")

    def __init__(self):
        super().__init__(ServiceSettings())
        self.servicer = ScriptedGatewayServicer()

    def register(self, server):
        conversation_pb2_grpc.add_ConversationServiceServicer_to_server(self.servicer, server)
        stt_pb2_grpc.add_SttServiceServicer_to_server(self.servicer, server)

    async def start(self):
        pass
