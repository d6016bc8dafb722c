"""The sound before it is decoded: levels and noise suppression."""
