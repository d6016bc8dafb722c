"""Mimi in torch: SEANet, the transformers and the quantizer, with the state of many streams."""
