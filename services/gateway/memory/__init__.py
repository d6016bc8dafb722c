"""What a session remembers, and where it is kept: a SQLite file, or Redis for several gateways."""
