"""The mesh that `oviya up` runs on this machine: its plan, its processes and their supervision."""
