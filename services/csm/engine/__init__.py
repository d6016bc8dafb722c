"""Continuous batching: who runs in the next frame, and on which pages of the KV cache."""
