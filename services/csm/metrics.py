"""Metrics of the CSM engine."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SLOTS = Gauge("oviya_csm_slots", "Slots of the engine")
SLOTS_USED = Gauge("oviya_csm_slots_used", "Slots in use")
QUEUED = Gauge("oviya_csm_queued", "Requests that wait for a slot")
KV_PAGES = Gauge("oviya_csm_kv_pages", "Pages of keys and values, of 64 positions each")
KV_PAGES_USED = Gauge("oviya_csm_kv_pages_used", "Pages that running requests hold")
KV_PAGES_KEPT = Gauge("oviya_csm_kv_pages_kept", "Pages that no request holds, cached for prompts with the same prefix")
QUEUE_SECONDS = Histogram(
    "oviya_csm_queue_seconds",
    "From the arrival of a request to its slot, for those that got one",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
PREFILL_SECONDS = Histogram(
    "oviya_csm_prefill_seconds",
    "From a slot to the last position of the prompt",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
)
FIRST_FRAME_SECONDS = Histogram(
    "oviya_csm_first_frame_seconds",
    "From the arrival of a request to its first frame",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10),
)
STEP_SECONDS = Histogram(
    "oviya_csm_step_seconds",
    "Time of one frame of all slots that are due",
    buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.08, 0.16, 0.32),
)
PREFILL_BUDGET = Gauge(
    "oviya_csm_prefill_budget",
    "Positions of prompts that may be run before the next frame; fewer if frames take long",
)
FRAMES = Counter("oviya_csm_frames", "Generated frames")
PROMPT_POSITIONS = Counter("oviya_csm_prompt_positions", "Positions of prompts, run or cached")
PREFIX_POSITIONS = Counter("oviya_csm_prefix_positions", "Positions of prompts found in the prefix cache")
FINISHED = Counter("oviya_csm_finished", "Requests that ended, by reason", ["reason"])
REJECTED = Counter("oviya_csm_rejected", "Requests refused because all slots or pages were taken")
RUNAWAYS = Counter("oviya_csm_runaways", "Answers stopped because they were far too long or silent")
PAGE_WAITS = Counter("oviya_csm_page_waits", "Long texts whose next piece waited for pages")
DROPPED_SEGMENTS = Counter("oviya_csm_dropped_segments", "Turns dropped from contexts")
DEVICE_FAILURES = Counter(
    "oviya_csm_device_failures",
    "Failures of the device: passing, or lost for good, after which the process ends",
    ["kind"],
)
SINK_FAILURES = Counter("oviya_csm_sink_failures", "Failures of a sink; its streams lost frames")
