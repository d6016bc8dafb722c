"""Prometheus metrics of the service, in addition to those of every service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SESSIONS = Gauge("oviya_stt_sessions", "Open streams")
SLOTS_TAKEN = Gauge("oviya_stt_slots_taken", "Slots in use")
SLOT_WAIT_SECONDS = Histogram(
    "oviya_stt_slot_wait_seconds",
    "Time in seconds that turns waited for a slot because all were in use",
    buckets=(0.01, 0.1, 0.5, 1, 2, 5, 10, 30),
)
SLOTS_REFUSED = Counter("oviya_stt_slots_refused_total", "Turns for which no slot became free in time")
IDLE_SESSIONS = Counter("oviya_stt_idle_sessions_total", "Streams that were ended because nobody spoke")
STALLED_TURNS = Counter("oviya_stt_stalled_turns_total", "Turns that were ended because no more sound was received")
AUDIO_SECONDS = Counter("oviya_stt_audio_seconds_total", "Sound received, in seconds")
TURNS = Counter("oviya_stt_turns_total", "Turns that ended, by reason", ["reason"])
FINAL_SECONDS = Histogram(
    "oviya_stt_final_seconds",
    "Time in seconds from the decision that a turn is over to its final transcript",
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
RECOGNIZER_STARTS = Counter("oviya_stt_recognizer_starts_total", "Decoder processes that were started")
RECOGNIZERS_LOST = Counter("oviya_stt_recognizers_lost_total", "Decoder processes that exited unexpectedly or hung")
RECOVERED_PHRASES = Counter(
    "oviya_stt_recovered_phrases_total", "Phrases that were decoded again after their decoder broke"
)
PARTIALS_FAILED = Counter(
    "oviya_stt_looks_failed_total", "Partials that were skipped because the forked decoder failed"
)
UNALIGNED_PHRASES = Counter(
    "oviya_stt_unaligned_phrases_total", "Phrases of WhisperX with estimated word times, because no aligner fits"
)
OVERRULED_WORDS = Counter(
    "oviya_stt_overruled_words_total",
    "Committed words that the final transcript keeps although the last decode differs",
)
SUPPRESSED_PHRASES = Counter("oviya_stt_suppressed_phrases_total", "Phrases to which noise suppression was applied")
