"""Hooks: settings and functions that a behavior base provides to the runtime, beside the users' callbacks. Internal.

A behavior base (`act.Actor`, `act.Pool`, `meta.UDPServer` ...) names its class of hooks in one attribute,
`_runtime_hooks`. The runtime makes one hooks object per process or meta-process and uses that object. So the classes
that users derive from have no hooks among their attributes, and no user's attribute is mistaken for a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, ClassVar

from .identifiers import PID, Alias, Target

TERMINATE_TIMEOUT = 5.0
"""Seconds that an asynchronous `terminate` may take: OTP's default shutdown time of a worker."""


def more_of(items: Sized, most: int | None) -> dict[str, int]:
    """Returns `more`: the number of items left out by facts about at most `most` of them. Empty without a limit."""
    return {} if most is None else {"more": max(0, len(items) - most)}


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

    def source(self, sender: PID | Alias, message: Any) -> Any:
        """Returns the source of a message, for `ProcessOptions.concurrency_key`."""
        return sender

    def idle(self, again: Callable[[], None], rest: list[Any]) -> bool:
        """With `forwards`: appends the processes that it forwards to to `rest`, so that the caller checks them next.
        Returns False if messages wait for a process that does not exist yet: `again` is then called once when that may
        have changed."""
        return True

    def facts(self, most: int | None) -> dict[str, Any] | None:
        """Returns the counters and the children of a pool, router or supervisor; None for others.

        most: number of children that are named; `more` is the number of the others. None: all.
        """
        return None

    def restarts(self, pid: PID) -> tuple[int, Exception | None] | None:
        """Returns how often the child that runs now as `pid` was restarted, and the reason of the last restart; None if
        it is not a child that this process restarts."""
        return None


class MetaHooks:
    """Hooks of a meta-process. The object is made when the behavior is spawned, before its `init` runs."""

    __slots__ = ("behavior",)

    forwards: ClassVar[bool] = False
    """True if the `forwarder` of the activity takes the main lane."""
    datagram: ClassVar[type[Any] | None] = None
    """Class of the messages that its socket receives and sends: it has `id`, `addr` and `data`."""

    def __init__(self, behavior: Any) -> None:
        self.behavior = behavior

    @property
    def linger(self) -> float:
        """Seconds for which the meta-process outlives a crashed owner."""
        return 0.0

    @property
    def socket_address(self) -> Any:
        """The local address of the socket, if this is a server; otherwise None."""
        return None

    @property
    def receiver(self) -> Target | None:
        """The address of the process that gets the messages of the socket, once they go to one."""
        return None

    def divert(self, kind: type[Any]) -> None:
        """Puts what its sockets receive through inlets of the class `kind` from now on."""

    @property
    def counters(self) -> Any:
        """The `Statistics` of the socket; None if there is none, or it is not open yet."""
        return None

    def facts(self) -> dict[str, Any] | None:
        """Returns the state of the socket and its counters; None if there is none, or it is not open yet."""
        return None

    @property
    def connections(self) -> Any:
        """The `TCPStatistics` of the connections; None if it has none, or is not started yet."""
        return None

    def adopts(self) -> Any:
        """Returns the meta-process without an owner that this behavior takes over, or None."""
        return None

    def orphaned(self) -> None:
        """Called when the owner has crashed. `start` was cancelled; messages to the alias are still handled."""

    def transferred(self) -> None:
        """Called when another process has become the owner."""

    @property
    def options(self) -> Any:
        """The options of the behavior, or None."""
        return getattr(self.behavior, "options", None)

    def stood_in(self) -> None:
        """Called instead of `init` when a test's stand-in takes the place of the meta-process."""

    def stood_in_ended(self, reason: Exception) -> None:
        """Called instead of `terminate` when that stand-in has ended."""
