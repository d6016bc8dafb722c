"""The 49 emotions: their names, what they sound like, which of them answers which, and what else they are called."""
