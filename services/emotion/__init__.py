"""The emotion service: the 49 emotions, how to speak each, and which one a text shows."""
