"""Hooks: settings and functions that a behavior base provides to the runtime, beside the users' callbacks. Internal.

A behavior base (`act.Actor`, `act.Pool`, `meta.UDPServer` ...) names its class of hooks in one attribute,
`_runtime_hooks`. The runtime makes one hooks object per process or meta-process and uses that object. So the classes
that users derive from have no hooks among their attributes, and no user's attribute is mistaken for a hook.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .identifiers import PID

TERMINATE_TIMEOUT = 5.0
"""Seconds that an asynchronous `terminate` may take: OTP's default shutdown time of a worker."""


class ProcessHooks:
    """Hooks of a process. The object exists before the behavior's `__init__` runs."""

    __slots__ = ("behavior", "process")

    kind: ClassVar[str] = "actor"
    """Kind of behavior base in one word, shown by `process_info`."""
    forwards: ClassVar[bool] = False
    """True if the `forwarder` of the activity takes the main lane."""
    configures: ClassVar[bool] = False
    """True if the value that `init` returned is passed to `configure`."""
    succeeds: ClassVar[bool] = False
    """True if the process replaces children that crash; a successor gets the messages waiting at its predecessor."""
    succeeds_orderly: ClassVar[bool] = False
    """True if it also replaces children that ended in order."""
    terminate_timeout: ClassVar[float | None] = TERMINATE_TIMEOUT
    """Seconds that an asynchronous `terminate` may take. None: no limit."""

    def __init__(self, behavior: Any, process: Any) -> None:
        self.behavior = behavior
        self.process = process

    @classmethod
    def of(cls, behavior: Any, process: Any) -> ProcessHooks:
        """Returns the hooks of a new process: its own object, or a shared object without state."""
        return cls(behavior, process)

    def configure(self, result: Any) -> Any:
        """With `configures`: takes the value that `init` returned. May be asynchronous. `spawn` raises its
        exceptions."""

    def handler(self) -> Callable[[PID, Any], Any] | None:
        """Returns the function that handles ordinary messages. None: the behavior's `handle_message`."""
        return None

    def idle(self, again: Callable[[], None], rest: list[Any]) -> bool:
        """With `forwards`: appends the processes that it forwards to to `rest`, so that the caller checks them next.
        Returns False if messages wait for a process that does not exist yet: `again` is then called once when that may
        have changed."""
        return True


class MetaHooks:
    """Hooks of a meta-process. The object is made when the behavior is spawned, before its `init` runs."""

    __slots__ = ("behavior",)

    forwards: ClassVar[bool] = False
    """True if the `forwarder` of the activity takes the main lane."""

    def __init__(self, behavior: Any) -> None:
        self.behavior = behavior

    @property
    def linger(self) -> float:
        """Seconds for which the meta-process outlives a crashed owner."""
        return 0.0

    def adopts(self) -> Any:
        """Returns the meta-process without an owner that this behavior takes over, or None."""
        return None

    def orphaned(self) -> None:
        """Called when the owner has crashed. `start` was cancelled; messages to the alias are still handled."""

    def transferred(self) -> None:
        """Called when another process has become the owner."""
