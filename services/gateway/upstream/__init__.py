"""The other services: clients and readiness."""
