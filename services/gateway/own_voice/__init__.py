"""A voice of the caller's own: a clip of speech is checked, encoded and kept, and CSM speaks with its voice."""
