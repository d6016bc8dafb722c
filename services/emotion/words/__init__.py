"""What the words say: the text model, the lexicon and negation."""
