"""The Ollama backend: a language model whose answers are streamed sentence by sentence."""
