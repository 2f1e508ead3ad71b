"""Checks which contestants can be measured on this machine, and what the others need."""

from __future__ import annotations

import importlib.util

from . import native
from .child import SPINNING

_PACKAGES = ("uvloop", "rloop", "pykka", "numpy")


def missing(contestant: str) -> str:
    """Returns what must be installed for `contestant`; "" if nothing. Its name contains those of packages: "homing on
    uvloop"."""
    for package in _PACKAGES:
        if package in contestant and importlib.util.find_spec(package) is None:
            return f"pip install {package}"
    if contestant.endswith(SPINNING) and importlib.util.find_spec("homing.node.loop.selector") is None:
        return "only the compiled event loop spins"
    if contestant.startswith("C ") and native.program("servers") is None:
        return "it needs Linux and a C compiler"
    return ""
