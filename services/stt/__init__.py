"""Speech-to-text: finds speech in a stream of sound and writes down its words."""

import os

# onnxruntime reports its use to its maker unless this stands there before it is imported; nothing is to be reported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
