"""The training sentences of the demo voice, and the held-out ones for its evaluation."""
