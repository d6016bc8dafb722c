"""Where sessions are kept, so that they survive the gateway: a SQLite file, or Redis for several gateways.

`Keeper` is the entry, `make` makes a store from the setting, `base` is what a store must do.
"""

from services.gateway.store.base import KeptSession, KeptTurn, Limits
from services.gateway.store.keeper import Keeper

__all__ = ["Keeper", "KeptSession", "KeptTurn", "Limits"]
