"""How an emotion is spoken: its names, and the plan for the voice."""
