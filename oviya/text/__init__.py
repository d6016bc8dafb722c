"""Text that is to be spoken: sentences, and written text in words."""
