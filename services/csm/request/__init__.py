"""A request on its way to the engine: its limits, its prompt and its voice."""
