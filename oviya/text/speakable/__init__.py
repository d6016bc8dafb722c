"""Text normalization for speech: `speakable("It costs $5.50.")` is "It costs five dollars and fifty cents."."""

from oviya.text.speakable.normalizer import speakable, written

__all__ = ["speakable", "written"]
