"""Tools that a language model may call: their specification, the calls and their results."""
