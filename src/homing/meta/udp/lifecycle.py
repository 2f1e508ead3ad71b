"""Lifecycles: one state at a time, changed only along a table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

from ...gen import HomingError

State = TypeVar("State", bound=enum.Enum)


class IllegalTransition(HomingError, RuntimeError):
    """A change of state that the table does not allow: a fault in Homing."""


class Lifecycle(Generic[State]):
    """The state of one object. transitions: which states may follow which."""

    __slots__ = ("_transitions", "state")

    def __init__(self, transitions: Mapping[State, frozenset[State]], first: State) -> None:
        self._transitions = transitions
        self.state = first

    def enter(self, state: State) -> None:
        """Changes to `state`. Raises `IllegalTransition` if the table does not allow that."""
        if state not in self._transitions[self.state]:
            raise IllegalTransition(f"{state.value!r} cannot follow {self.state.value!r}")
        self.state = state
