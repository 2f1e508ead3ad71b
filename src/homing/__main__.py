"""`python -m homing` is `homing`."""

from .cli import main

main()
