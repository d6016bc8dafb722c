"""Prometheus metrics of the brain service, beside those that every service has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REPLIES = Gauge("oviya_brain_replies_running", "Replies that are being made")
SENTENCES = Counter("oviya_brain_sentences_total", "Sentences said, by backend and emotion", ["backend", "emotion"])
FIRST_SENTENCE_SECONDS = Histogram(
    "oviya_brain_first_sentence_seconds",
    "Time from the request to the first sentence, in seconds",
    ["backend"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
