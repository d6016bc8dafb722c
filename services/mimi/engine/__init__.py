"""Many streams in one batch: decoding, encoding and how many fit."""
