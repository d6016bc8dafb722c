"""What `oviya talk --explain` prints."""

from __future__ import annotations

from oviya.cli.explain import explained
from oviya.client import Evidence, Tone, UserFeeling

WORDS = Evidence((("sadness", 0.9), ("neutral", 0.1)), -0.7, -0.4, 0.8, ("words of lonely",))
VOICE = Evidence((("sad", 0.6),), -0.3, -0.4, 0.5, ("pitch 2.4 st lower", "loudness 4.0 dB quieter"))
TONE = Tone("melancholic", "empathetic_sad", "comforting", "tender", 0.8, "reassuring", 0.4, "not an echo")


def lines(text: Evidence | None, voice: Evidence | None, tone: Tone = TONE) -> dict[str, str]:
    emotions = (("melancholic", 0.6), ("lonely", 0.3))
    return dict(explained(UserFeeling(0, emotions, -0.6, -0.4, 0.7, 0.9, tone, text, voice)))


def test_both_sides_the_result_and_the_policy_are_told():
    shown = lines(WORDS, VOICE)
    assert list(shown) == ["voice", "words", "felt", "tone"]
    assert shown["voice"] == (
        "sad 0.60: valence -0.30, arousal -0.40, confidence 0.50; pitch 2.4 st lower, loudness 4.0 dB quieter"
    )
    assert shown["words"].startswith("sadness 0.90, neutral 0.10: valence -0.70")
    assert shown["felt"] == "melancholic 0.60, lonely 0.30: valence -0.60, arousal -0.40, intensity 0.90"
    assert shown["tone"] == (
        "melancholic is answered with empathetic_sad to give back, comforting to support, tender to ask, at 0.80, "
        "40% reassuring mixed in: not an echo"
    )


def test_a_side_that_is_missing_is_reported_too():
    shown = lines(None, None, Tone("neutral", "calm", "calm", "curious", 0.3, "", 0.0, "none"))
    assert shown["voice"] == "no voice was heard"
    assert shown["words"] == "no English words"
    assert "mixed in" not in shown["tone"]
