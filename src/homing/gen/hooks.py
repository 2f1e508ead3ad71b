"""Hooks: what the runtime asks of a behavior base beyond the callbacks that users define. Internal.

A behavior base (`act.Actor`, `act.Pool`, `meta.UDPServer` ...) names the class of its hooks by one attribute,
`_runtime_hooks`. The runtime has one object of it per process or meta-process, and asks that. So the classes that
users derive from have no hooks among their attributes, and no attribute of a user's is taken for one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from .identifiers import PID

TERMINATE_TIMEOUT = 5.0
"""Seconds that an asynchronous `terminate` may take: OTP's default shutdown time of a worker."""

TakeMain = Callable[[deque[Any]], int]
"""Takes entries from a main lane that is not empty. Returns how many."""


def _take_none(main: deque[Any]) -> int:
    return 0


class ProcessHooks:
    """Hooks of a process. They are there before the behavior's `__init__` runs.

    take_main: with `forwards`, takes from the main lane.
    """

    __slots__ = ("behavior", "process", "take_main")

    kind: ClassVar[str] = "actor"
    """The behavior base in one word, shown by `process_info`."""
    forwards: ClassVar[bool] = False
    """The main lane is drained wholesale by `take_main`."""
    configures: ClassVar[bool] = False
    """`configure` takes what `init` returned."""
    succeeds: ClassVar[bool] = False
    """It starts successors of children that crash; they get the messages that waited at their predecessors."""
    succeeds_orderly: ClassVar[bool] = False
    """It does so for children that ended in order as well."""
    terminate_timeout: ClassVar[float | None] = TERMINATE_TIMEOUT
    """Seconds that an asynchronous `terminate` may take. None: no limit."""

    def __init__(self, behavior: Any, process: Any) -> None:
        self.behavior = behavior
        self.process = process
        self.take_main: TakeMain = _take_none

    @classmethod
    def of(cls, behavior: Any, process: Any) -> ProcessHooks:
        """Returns the hooks of a process that is being made: its own object, or one that serves many and keeps nothing
        of any."""
        return cls(behavior, process)

    def configure(self, result: Any) -> Any:
        """With `configures`: takes what `init` returned. May be asynchronous. If it raises, `spawn` does."""

    def handler(self) -> Callable[[PID, Any], Any] | None:
        """Returns the function that ordinary messages are handed to. None: the behavior's `handle_message`."""
        return None

    def idle(self, again: Callable[[], None], rest: list[Any]) -> bool:
        """With `forwards`: adds the processes that it forwards to to `rest`, to be asked in their turn. False if
        messages wait for one that is not there: then `again` is called once when that may have changed."""
        return True


class MetaHooks:
    """Hooks of a meta-process. The object is made when the behavior is spawned, before its `init` runs.

    take_main: with `forwards`, takes from the main lane.
    """

    __slots__ = ("behavior", "take_main")

    forwards: ClassVar[bool] = False
    """The main lane is drained wholesale by `take_main`."""

    def __init__(self, behavior: Any) -> None:
        self.behavior = behavior
        self.take_main: TakeMain = _take_none

    @property
    def linger(self) -> float:
        """Seconds for which it outlives an owner that crashed."""
        return 0.0

    def adopts(self) -> Any:
        """Returns the meta-process without an owner that this behavior takes over, or None."""
        return None

    def orphaned(self) -> None:
        """The owner has crashed. `start` was cancelled; what is sent to the alias is still handled."""

    def transferred(self) -> None:
        """Another process owns it from now on."""
