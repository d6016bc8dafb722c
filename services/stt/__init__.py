"""Speech-to-text: finds speech in a stream of sound and writes down its words."""
