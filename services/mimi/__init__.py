"""The voice's codec: RVQ frames to sound and back, streamed."""
