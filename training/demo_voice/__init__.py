"""The demo voice: a small Mimi and a small CSM, trained on speech from the free synthesizer flite."""
