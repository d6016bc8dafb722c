"""Prometheus metrics of the service, beside those that every service has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SESSIONS = Gauge("oviya_stt_sessions", "Sessions that hold a recognizer")
AUDIO_SECONDS = Counter("oviya_stt_audio_seconds_total", "Sound heard, in seconds of the sound")
TURNS = Counter("oviya_stt_turns_total", "Turns that ended, by reason", ["reason"])
FINAL_SECONDS = Histogram(
    "oviya_stt_final_seconds",
    "Time in seconds from the decision that a turn is over to its final transcript",
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
RECOGNIZER_STARTS = Counter("oviya_stt_recognizer_starts_total", "Decoder processes that were started")
UNALIGNED_PHRASES = Counter(
    "oviya_stt_unaligned_phrases_total", "Phrases of WhisperX whose words' times are estimated, as no aligner fits"
)
OVERRULED_WORDS = Counter(
    "oviya_stt_overruled_words_total",
    "Published words that stand, though the last decode has others",
)
SUPPRESSED_PHRASES = Counter("oviya_stt_suppressed_phrases_total", "Phrases from which noise was taken out")
