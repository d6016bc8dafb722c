"""What a session remembers, and where it is kept: a SQLite file, or Redis for several gateways.

`memory` holds one session's turns, `keeper` writes them behind a queue, `store` is what a store must do.
"""

from services.gateway.memory.keeper import Keeper
from services.gateway.memory.store import KeptSession, KeptTurn, Limits

__all__ = ["Keeper", "KeptSession", "KeptTurn", "Limits"]
