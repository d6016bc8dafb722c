"""CSM in plain torch: the backbone, the depth decoder and their configuration."""
