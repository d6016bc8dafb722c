"""The Mimi service: a streaming codec from RVQ frames to sound and back."""
