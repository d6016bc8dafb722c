"""The local mesh of `oviya up`: its plan, its processes and their supervision."""
