"""Prometheus metrics of the brain service, besides those of every service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REPLIES = Gauge("oviya_brain_replies_running", "Replies in progress")
SENTENCES = Counter("oviya_brain_sentences_total", "Sentences spoken, by backend and emotion", ["backend", "emotion"])
FIRST_SENTENCE_SECONDS = Histogram(
    "oviya_brain_first_sentence_seconds",
    "Time from the request to the first sentence, in seconds",
    ["backend"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
FAILURES = Counter(
    "oviya_brain_failures_total",
    "Failures of the backend, by request (reply, summary, start) and type of error",
    ["backend", "asked", "type"],
)
DEGRADED = Gauge("oviya_brain_degraded", "1 while the listener answers instead of the backend", ["backend"])
EMOTION_TAGS = Counter(
    "oviya_brain_emotion_tags_total",
    "Sentences by how the model gave their emotion (given, alias, misspelled, unknown, missing)",
    ["kind"],
)
THINKING = Counter("oviya_brain_thinking_total", "Replies whose thinking was removed")
HIDDEN_TEXT = Counter(
    "oviya_brain_hidden_text_total",
    "Answers with text that was removed, by kind (unclosed thinking, unmarked thinking, another speaker, "
    "unread tool call)",
    ["kind"],
)
WRITTEN_CALLS = Counter(
    "oviya_brain_written_calls_total",
    "Tool calls that the model wrote as text, by outcome (called, dropped)",
    ["outcome"],
)
CUT_REPLIES = Counter("oviya_brain_cut_replies_total", "Replies that reached the model's longest length")
TOOL_CALLS = Counter(
    "oviya_brain_tool_calls_total", "Tool calls, by tool and outcome (answered, failed)", ["tool", "outcome"]
)
TOOL_SECONDS = Histogram(
    "oviya_brain_tool_seconds",
    "Time to the answer of a tool, in seconds",
    ["tool"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
