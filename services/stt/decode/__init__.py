"""From sound to words: the recognizers, and which words of a hypothesis are committed."""
