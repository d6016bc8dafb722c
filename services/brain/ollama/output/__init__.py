"""From a model's tokens to sentences with emotions: what is spoken, and what is not."""
