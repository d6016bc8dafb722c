"""What a voice sounds like, against how its speaker usually sounds."""
