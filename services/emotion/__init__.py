"""The emotion service: how to speak each of the 49 emotions, and which ones an utterance shows."""
