"""The engine: sessions, their limits and the decoder pool."""
