"""Speech-to-text: detects speech in a stream of sound and transcribes it."""

import os

# onnxruntime sends usage reports to its vendor unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
