"""What the CSM engine measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SLOTS = Gauge("oviya_csm_slots", "Slots that the engine has")
SLOTS_USED = Gauge("oviya_csm_slots_used", "Slots that hold a request")
QUEUED = Gauge("oviya_csm_queued", "Requests that wait for a slot")
KV_PAGES = Gauge("oviya_csm_kv_pages", "Pages of keys and values, of 64 positions each")
KV_PAGES_USED = Gauge("oviya_csm_kv_pages_used", "Pages that running requests hold")
KV_PAGES_KEPT = Gauge("oviya_csm_kv_pages_kept", "Pages that nobody holds, kept for prompts that begin alike")
QUEUE_SECONDS = Histogram(
    "oviya_csm_queue_seconds",
    "From a request's arrival to its slot, of those that got one",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
PREFILL_SECONDS = Histogram(
    "oviya_csm_prefill_seconds",
    "From a slot to the prompt's last position, in the order of the device's work",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
)
FIRST_FRAME_SECONDS = Histogram(
    "oviya_csm_first_frame_seconds",
    "From a request's arrival to its first frame",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10),
)
STEP_SECONDS = Histogram(
    "oviya_csm_step_seconds",
    "Time to make one frame for every slot that is due",
    buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.08, 0.16, 0.32),
)
PREFILL_BUDGET = Gauge(
    "oviya_csm_prefill_budget",
    "Positions of prompts that may be run before the next frame: fewer as frames take longer",
)
FRAMES = Counter("oviya_csm_frames", "Frames that were made")
PROMPT_POSITIONS = Counter("oviya_csm_prompt_positions", "Positions of prompts, run or found")
PREFIX_POSITIONS = Counter("oviya_csm_prefix_positions", "Positions of prompts that an earlier one had left behind")
FINISHED = Counter("oviya_csm_finished", "Requests that ended, by reason", ["reason"])
REJECTED = Counter("oviya_csm_rejected", "Requests that were refused because slots or pages were taken")
RUNAWAYS = Counter("oviya_csm_runaways", "Answers that outran their text, or fell silent, and were stopped")
PAGE_WAITS = Counter("oviya_csm_page_waits", "Long texts whose next piece had to wait for pages")
DROPPED_SEGMENTS = Counter("oviya_csm_dropped_segments", "Turns of contexts that were left out")
DEVICE_FAILURES = Counter(
    "oviya_csm_device_failures",
    "Failures of the device: passing, or lost for good, after which the process ends",
    ["kind"],
)
SINK_FAILURES = Counter("oviya_csm_sink_failures", "Failures of what takes the frames; its streams lost some")
