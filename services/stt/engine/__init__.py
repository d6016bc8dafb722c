"""The engine: sessions, the segments of their turns, and their limits."""
