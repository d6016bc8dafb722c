"""Streams that share decoders: a stream from its first sample to its last word."""
