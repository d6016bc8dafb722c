"""Metrics of the emotion service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

MAPPED = Counter("oviya_emotion_mapped_total", "Prosody plans made, by emotion", ["emotion"])
DETECTED = Counter("oviya_emotion_detected_total", "Utterances judged, by the most likely emotion", ["emotion"])
VOICES = Counter("oviya_emotion_voices_total", "Utterances with sound, by whether they had a voice", ["result"])
DETECTING = Gauge("oviya_emotion_detecting", "Running Detect calls")
REFUSED = Counter("oviya_emotion_refused_total", "Detect calls that were refused because every slot was taken")
