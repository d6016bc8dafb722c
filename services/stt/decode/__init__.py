"""From sound to words: the recognizers, and which of their words stand."""
