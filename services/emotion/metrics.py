"""Prometheus metrics of the emotion service, beside those that every service has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

MAPPED = Counter("oviya_emotion_mapped_total", "Prosody plans made, by emotion", ["emotion"])
DETECTED = Counter("oviya_emotion_detected_total", "Utterances judged, by the most likely emotion", ["emotion"])
VOICES = Counter("oviya_emotion_voices_total", "Utterances with sound, by whether there was a voice in it", ["result"])
DETECTING = Gauge("oviya_emotion_detecting", "Detect calls that run")
REFUSED = Counter("oviya_emotion_refused_total", "Detect calls that were refused because all places were taken")
