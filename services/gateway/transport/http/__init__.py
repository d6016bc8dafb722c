"""The HTTP server: the page, offers, health and metrics."""
