"""Mono PCM: wire bytes, WAV files, resampling."""
