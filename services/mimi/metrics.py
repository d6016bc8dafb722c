"""Metrics of the Mimi service; `direction` is decode or encode."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

STREAMS = Gauge("oviya_mimi_streams", "Most streams at once", ["direction"])
STREAMS_USED = Gauge("oviya_mimi_streams_used", "Open streams", ["direction"])
STEP_SECONDS = Histogram(
    "oviya_mimi_step_seconds",
    "Time of one step of the model",
    ["direction"],
    buckets=(0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.08, 0.16, 0.32, 0.64),
)
STEP_ROWS = Histogram(
    "oviya_mimi_step_rows", "Streams in one step", ["direction"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
FRAMES = Counter("oviya_mimi_frames", "RVQ frames decoded or encoded", ["direction"])
WATERMARK = Gauge("oviya_mimi_watermark", "1 for the watermark in decoded sound; absent if none is set", ["name"])
WATERMARK_SECONDS = Histogram(
    "oviya_mimi_watermark_seconds",
    "Time to mark the streams of one step",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08),
)
WATERMARK_FAILURES = Counter(
    "oviya_mimi_watermark_failures", "Steps of a stream whose sound was withheld because marking failed"
)
REJECTED = Counter("oviya_mimi_rejected", "Streams that were refused because every slot was taken", ["direction"])
DEVICE_FAILURES = Counter(
    "oviya_mimi_device_failures",
    "Failures of the device: passing, or lost, after which the process ends",
    ["kind"],
)
