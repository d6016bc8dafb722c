"""Mimi in plain torch: SEANet, the transformers, the quantizer, with streaming state for each row."""
