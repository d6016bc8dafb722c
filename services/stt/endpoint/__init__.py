"""Where speech starts and a turn ends: voice activity, pauses, words and pitch."""
