"""Prometheus metrics of the service, in addition to those of every service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SESSIONS = Gauge("oviya_stt_sessions", "Open streams")
DECODE_SECONDS = Histogram(
    "oviya_stt_decode_seconds",
    "Duration in seconds of a decode, by kind (draft, final)",
    ["kind"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
DECODE_WAIT_SECONDS = Histogram(
    "oviya_stt_decode_wait_seconds",
    "Time in seconds that final decodes waited because others were running",
    buckets=(0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
DECODES_REFUSED = Counter("oviya_stt_decodes_refused_total", "Final decodes that waited too long in the queue")
DRAFTS_FAILED = Counter("oviya_stt_drafts_failed_total", "Drafts that failed, for which no partial was sent")
IDLE_SESSIONS = Counter("oviya_stt_idle_sessions_total", "Streams that were ended because nobody spoke")
STALLED_TURNS = Counter("oviya_stt_stalled_turns_total", "Turns that were ended because no more sound was received")
AUDIO_SECONDS = Counter("oviya_stt_audio_seconds_total", "Sound received, in seconds")
TURNS = Counter("oviya_stt_turns_total", "Turns that ended, by reason", ["reason"])
FINAL_SECONDS = Histogram(
    "oviya_stt_final_seconds",
    "Time in seconds from the decision that a turn is over to its final transcript",
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
UNALIGNED_PHRASES = Counter(
    "oviya_stt_unaligned_phrases_total",
    "Final decodes of WhisperX whose word times come from Whisper's attention, because no aligner fits",
)
OVERRULED_WORDS = Counter(
    "oviya_stt_overruled_words_total",
    "Committed words that the final transcript keeps although the last decode differs",
)
REPEATED_DECODES = Counter(
    "oviya_stt_repeated_decodes_total",
    "Final decodes that had probably repeated words and were done again, in the full window",
)
