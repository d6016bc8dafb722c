"""Parses a model's output into sentences with emotions."""
