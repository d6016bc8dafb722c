"""Messages from the page: what is read, and what is refused with the field and the limit."""

from __future__ import annotations

import json

import pytest

from oviya.errors import InvalidInput
from services.gateway.transport.webrtc.page_message import MAX_MESSAGE_BYTES, read_message

MAX_TEXT_CHARS = 10


def read(message):
    return read_message(message if isinstance(message, (str, bytes)) else json.dumps(message), MAX_TEXT_CHARS)


def test_every_kind_is_read():
    assert read({"text": "hi"}).text == "hi"
    assert read('{"text": "\\ud83d\\ude00"}').text == "\U0001f600"
    assert read({"endTurn": {}}).WhichOneof("request") == "end_turn"
    assert read({"interrupt": {}}).WhichOneof("request") == "interrupt"
    voice = read({"setVoice": {"registered": "ann", "voiceToken": "secret"}}).set_voice
    assert (voice.registered, voice.voice_token) == ("ann", "secret")
    assert read({"setVoice": {"speaker": 0}}).set_voice.WhichOneof("source") == "speaker"
    assert read({"setEmotion": {"emotion": "joy"}}).set_emotion.emotion == "joy"
    assert read({"setEmotion": {}}).set_emotion.emotion == ""  # the brain chooses again


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("no json", "message"),
        ("[" * 5000, "message"),
        ({"text": 5}, "message"),
        ({"unknown": 1}, "message"),
        ({"audio": "AAAA"}, "message"),
        ({"config": {}}, "message"),
        ({"played": {"position": "1s"}}, "message"),
        ({}, "message"),
        (b"\x00\x01", "message"),
        ("x" * (MAX_MESSAGE_BYTES + 1), "message"),
        ({"text": ""}, "text"),
        ({"text": "more than ten"}, "text"),
        ({"setVoice": {}}, "set_voice"),
        ({"setVoice": {"registered": "", "voiceToken": "secret"}}, "set_voice.registered"),
        ({"setVoice": {"registered": "a" * 65, "voiceToken": "secret"}}, "set_voice.registered"),
        ({"setVoice": {"registered": "ann"}}, "set_voice.voice_token"),
        ({"setVoice": {"registered": "ann", "voiceToken": "a" * 257}}, "set_voice.voice_token"),
        ({"setVoice": {"registered": "ann", "voiceToken": "secret", "keepAs": "bob"}}, "set_voice.keep_as"),
        ({"setVoice": {"speaker": 65_536}}, "set_voice.speaker"),
        ({"setVoice": {"clip": {"audio": {"pcm": "AAAA"}}}}, "set_voice.clip"),
        ({"setEmotion": {"emotion": "a" * 65}}, "set_emotion.emotion"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(message, field):
    with pytest.raises(InvalidInput) as caught:
        read(message)
    assert caught.value.field == field
