"""Which contestants can be measured here; and why not the others."""

from __future__ import annotations

import importlib.util

from . import native

_PACKAGES = ("uvloop", "rloop", "pykka", "numpy")


def missing(contestant: str) -> str:
    """What `contestant` lacks here; "" if nothing. Its name is made of the packages': "homing on uvloop"."""
    for package in _PACKAGES:
        if package in contestant and importlib.util.find_spec(package) is None:
            return f"pip install {package}"
    if contestant.startswith("C ") and native.program("servers") is None:
        return "it needs Linux and a C compiler"
    return ""
