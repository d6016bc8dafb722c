"""Oviya: self-hosted spoken conversation as a typed gRPC mesh."""

__version__ = "0.1.0"
