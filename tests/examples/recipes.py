"""The recipes of the cookbook, and the pages that show them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "cookbook"
RECIPES = sorted(FOLDER.glob("*.py"))
HOSTILE = (b"", b" ", b"\0", b"\xff" * 9, b"\n" * 300, b"1" * 65507)
"""Datagrams that no recipe expects: empty, short, and as long as a datagram can be."""


def load(name: str) -> ModuleType:
    """A recipe as a module of its own, whose limits a test may change; it does not run."""
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise AssertionError(f"there is no recipe {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
