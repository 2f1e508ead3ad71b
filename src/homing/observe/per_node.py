"""Objects that all observers of a node share: made when first needed, forgotten when the node stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ..node import Node
from ..node.core import Core
from ..node.node import internals

T = TypeVar("T")


class PerNode(Generic[T]):
    """One object for each node. make: returns a new one."""

    def __init__(self, make: Callable[[Node], T]) -> None:
        self._make = make
        self._made: dict[Core, T] = {}

    def of(self, node: Node) -> T:
        """Returns the object of a node."""
        core = internals(node).core
        found = self._made.get(core)
        if found is None:
            found = self._made[core] = self._make(node)
            node.on_stopped(lambda: self._forget(core))
        return found

    def _forget(self, core: Core) -> None:
        self._made.pop(core, None)
