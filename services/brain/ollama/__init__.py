"""A mind that runs in Ollama: a language model, streamed, spoken sentence by sentence."""
