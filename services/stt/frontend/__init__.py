"""Sound before it is decoded: band limits, noise suppression and level."""
