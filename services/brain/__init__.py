"""The brain service: what to answer."""
