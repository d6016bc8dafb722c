"""How the checkpoints that ship with Oviya were made."""
