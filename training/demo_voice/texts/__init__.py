"""The sentences that the demo voice learns from, and the held-out ones that it is judged by."""
