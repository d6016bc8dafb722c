"""Peers: ICE, the microphone, playout and what bounds them."""
