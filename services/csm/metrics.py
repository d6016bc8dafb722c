"""What the CSM engine measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SLOTS = Gauge("oviya_csm_slots", "Slots that the engine has")
SLOTS_USED = Gauge("oviya_csm_slots_used", "Slots that hold a request")
FIRST_FRAME_SECONDS = Histogram(
    "oviya_csm_first_frame_seconds",
    "From a request's admission to its first frame",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10),
)
STEP_SECONDS = Histogram(
    "oviya_csm_step_seconds",
    "Time to make one frame for every slot that is due",
    buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.08, 0.16, 0.32),
)
FRAMES = Counter("oviya_csm_frames", "Frames that were made")
FINISHED = Counter("oviya_csm_finished", "Requests that ended, by reason", ["reason"])
REJECTED = Counter("oviya_csm_rejected", "Requests that were refused because every slot was taken")
