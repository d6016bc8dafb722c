"""A session without a transport: requests in, events out."""
