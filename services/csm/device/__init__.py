"""What computes frames: the contract of a device, and its implementations."""
