"""How a sentence becomes sound: CSM and Mimi, the fallback voice, loudness, shaping and pacing."""
