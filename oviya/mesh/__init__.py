"""The runtime of the services: server, health, drain, channels, settings, logs and metrics."""
