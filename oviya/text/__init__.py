"""Text for speech: sentences, and the verbalization of written text."""
