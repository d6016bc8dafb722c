"""Judges the words of an utterance: text model, lexicon and negation."""
