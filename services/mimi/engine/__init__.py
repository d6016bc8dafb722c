"""Runs many streams in one batch."""
