"""Judges the sound of an utterance against how its speaker usually sounds."""
