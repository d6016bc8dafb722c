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
FAILURES = Counter(
    "oviya_brain_failures_total",
    "Replies and summaries at which the backend failed, by what was asked and the type of error",
    ["backend", "asked", "type"],
)
DEGRADED = Gauge("oviya_brain_degraded", "1 while the listener answers in place of the backend", ["backend"])
EMOTION_TAGS = Counter(
    "oviya_brain_emotion_tags_total",
    "Sentences by how the model gave their emotion (given, alias, misspelled, unknown, missing)",
    ["kind"],
)
THINKING = Counter("oviya_brain_thinking_total", "Replies whose thinking was kept from being spoken")
HIDDEN_TEXT = Counter(
    "oviya_brain_hidden_text_total",
    "Answers that held text that was not spoken, by its kind (unclosed thinking, unmarked thinking, another speaker, "
    "unread tool call)",
    ["kind"],
)
WRITTEN_CALLS = Counter(
    "oviya_brain_written_calls_total",
    "Tool calls that the model wrote as text, by what became of them (called, dropped)",
    ["outcome"],
)
CUT_REPLIES = Counter("oviya_brain_cut_replies_total", "Replies that ended at the model's longest length")
TOOL_CALLS = Counter(
    "oviya_brain_tool_calls_total", "Calls of tools, by outcome (answered, failed)", ["tool", "outcome"]
)
TOOL_SECONDS = Histogram(
    "oviya_brain_tool_seconds",
    "Time to a tool's answer in seconds",
    ["tool"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
