"""Requests: validation, prompts, tokenizer and voices."""
