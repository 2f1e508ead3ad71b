"""The registry: addresses, and the mailboxes that they lead to.

One dictionary holds PIDs, aliases and registered names together (they can never be equal), so that sending needs one
look-up for any kind of address.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from ...gen import (
    PID,
    Alias,
    AliasUnknown,
    BadOption,
    ClusterName,
    HomingError,
    MetaTerminated,
    NameTaken,
    NameUnknown,
    NodeUnknown,
    NotAllowed,
    ProcessID,
    ProcessTerminated,
    ProcessUnknown,
    Ref,
    Target,
)
from ...gen.copying import refuse_copy
from ...gen.foreign import is_a, safe_repr
from ...gen.options import check_name
from ...gen.retrying import entry
from ..mailbox.envelope import is_coroutine

if TYPE_CHECKING:
    from ..elsewhere import Elsewhere
    from ..processes.process import Process
    from ..scheduling.activity import Activity


_NAMES_COMPARED = 300
"""Names compared with a name that is not registered: each takes 5 us, on the event loop."""

_NAMES_TOLD = 5

_new = tuple.__new__
"""Makes a named tuple without a Python call."""


class Registry:
    """The addresses of one node. `routes` maps each to its activity; zombies and ended processes are not in it.

    elsewhere: finds the addresses of other nodes; None while the node is in no cluster.
    """

    __slots__ = ("_last", "_name_waiters", "creation", "elsewhere", "names", "node", "routes")

    __reduce__ = refuse_copy

    def __init__(self, node: str, creation: int) -> None:
        self.node = node
        self.creation = creation
        self.routes: dict[object, Activity] = {}
        self.elsewhere: Elsewhere | None = None
        self.names: dict[str, Process] = {}
        self._last = 1000  # numbers below are the node's own, as in Ergo
        self._name_waiters: dict[str, dict[Callable[[], None], None]] = {}

    def next_id(self) -> int:
        """Returns a number that no PID, alias or ref of this node has had."""
        self._last += 1
        return self._last

    def make_pid(self) -> PID:
        """Returns a new PID."""
        return _new(PID, (self.node, self.next_id(), self.creation))

    def make_alias(self) -> Alias:
        """Returns a new alias."""
        return Alias(self.node, self.next_id(), self.creation)

    def make_ref(self) -> Ref:
        """Returns a new reference."""
        return _new(Ref, (self.node, self.next_id(), self.creation))

    def find(self, to: Target) -> Activity:
        """Returns the activity behind `to`. Raises the error that `missing` returns, and those of `Elsewhere.find`."""
        try:
            found = self.routes.get(to)
        except Exception:
            raise self.missing(to) from None  # an object that cannot be hashed or compared is not an address
        if found is None and is_a(to, ProcessID) and to.node == self.node:
            found = self.routes.get(to.name)
        if found is None and self.elsewhere is not None:
            found = self.elsewhere.find(to)
        if found is None:
            raise self.missing(to)
        return found

    def missing(self, to: object) -> HomingError:
        """Returns the error that says why there is no activity at `to`."""
        if is_a(to, str):
            return NameUnknown(to)
        if is_a(to, ProcessID):
            return NameUnknown(to.name) if to.node == self.node else NodeUnknown(to, to.node)
        if is_a(to, ClusterName):
            return NameUnknown(to)
        if not (is_a(to, PID) or is_a(to, Alias)):
            if is_coroutine(to):
                return BadOption("to", to, "it was not awaited; write `await self.spawn(...)` to get the address")
            return BadOption("to", to, "give a PID, an Alias, a ProcessID or a registered name")
        if to.node != self.node:
            return NodeUnknown(to, to.node)
        lived = to.creation == self.creation and 1000 < to.id <= self._last
        if is_a(to, PID):
            return ProcessTerminated(to) if lived else ProcessUnknown(to)
        return MetaTerminated(to) if lived else AliasUnknown(to)

    def names_like(self, name: str) -> str:
        """Returns a hint for a mistyped name: similar registered names, or else the first registered names."""
        names = list(islice(self.names, _NAMES_COMPARED))
        alike = get_close_matches(name, names)
        told = ", ".join(map(safe_repr, alike or names[:_NAMES_TOLD]))
        if alike:
            return f"similar: {told}"
        more = ", ..." if len(self.names) > _NAMES_TOLD else ""
        return f"registered: {told}{more}" if told else "no process has a name"

    def register_name(self, name: str, process: Process) -> None:
        """Registers `process` under `name`. Raises `BadOption`, `NameTaken`, or `NotAllowed` if it has a name."""
        check_name("name", name)
        name = str.__str__(name)  # a class derived from str may have another hash
        owner = self.names.get(name)
        if owner is not None:
            raise NameTaken(name, owner.id)
        if process.name is not None:
            raise NotAllowed(f"{process.id} is already registered as {process.name!r}; a process has one name")
        process.name = name
        self.names[name] = process
        self.routes[name] = process
        for callback in self._name_waiters.pop(name, ()):
            callback()

    def unregister_name(self, process: Process) -> None:
        """Unregisters the name of `process`, if it has one."""
        if process.name is not None:
            del self.names[process.name]
            self.routes.pop(process.name, None)  # absent already if the process is ending
            process.name = None

    def when_registered(self, name: str, callback: Callable[[], None]) -> None:
        """Calls `callback` once, as soon as any process registers `name`."""
        entry(self._name_waiters, name, dict)[callback] = None

    def forget_waiter(self, name: str, callback: Callable[[], None]) -> None:
        """Cancels a `when_registered`."""
        waiters = self._name_waiters.get(name)
        if waiters is not None:
            waiters.pop(callback, None)
            if not waiters:
                del self._name_waiters[name]
