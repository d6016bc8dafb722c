"""Latencies of a turn's stages."""

from __future__ import annotations

from oviya.durations import seconds
from services.gateway.turn.latency import latency
from tests.support.segments import new_speech


def test_latency_counts_only_stages_that_were_reached():
    speech, _ = new_speech()
    speech.first_sentence_at, speech.sender.first_sent_at = 10.5, 10.75
    counted = latency(speech, since=10.0, final_transcript=10.25)
    assert {stage.name: seconds(value) for stage, value in counted.ListFields()} == {
        "final_transcript": 0.25,
        "first_sentence": 0.5,
        "first_audio": 0.75,
    }
    assert seconds(latency(speech, since=11.0).first_audio) == 0
