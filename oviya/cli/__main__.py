"""`python -m oviya.cli` is `oviya`."""

from oviya.cli import main

main()
