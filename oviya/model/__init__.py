"""What services that run a model share: checkpoints and devices."""
