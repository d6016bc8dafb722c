"""Endpointing: where speech starts and when a turn is over, from voice activity, pauses, words and pitch."""
