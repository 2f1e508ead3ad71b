"""The configuration of a node: read by its processes and UDP servers, and changed while it runs."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..gen import PID, BadOption, Configuration, DeliveryError, MessageConfig
from ..gen.foreign import same
from ..gen.options import check_type

if TYPE_CHECKING:
    from .core import Core
    from .processes.process import Process

T = TypeVar("T")

_by_loop: dict[asyncio.AbstractEventLoop, list[NodeConfiguration]] = {}
"""The nodes that were given a configuration. A socket is bound before it belongs to a process, so a server knows its
event loop, but not its node."""


class Asked(NamedTuple):
    """A section that a process has asked for, and the class of its values."""

    kind: type
    section: str


class NodeConfiguration:
    """The configuration of one node. source: the values in force now."""

    def __init__(self, core: Core) -> None:
        self.source = core.options.config or Configuration()
        self.asked: list[Asked] = []
        self._core = core
        self._subscribers: dict[PID, list[Asked]] = {}
        if core.options.config is not None:
            _by_loop.setdefault(core.loop, []).append(self)

    def close(self) -> None:
        """Forgets a node that has stopped."""
        others = [one for one in _by_loop.pop(self._core.loop, ()) if one is not self]
        if others:
            _by_loop[self._core.loop] = others

    def get(self, kind: type[T], section: str) -> T:
        """Returns the values of a section. Raises `BadOption`, `BadConfiguration`."""
        if not isinstance(kind, type):
            raise BadOption("kind", kind, "give the class of the values: a dataclass or a msgspec.Struct")
        check_type("section", section, str, 'the name of a section under [app]; "" is [app] itself')
        values = self.source.section(kind, section)
        if not any(one.kind is kind and one.section == section for one in self.asked):
            self.asked.append(Asked(kind, section))
        return values

    def subscribe(self, process: Process, kind: type, section: str) -> None:
        """Sends `process` a `MessageConfig` when the section changes."""
        if process.id not in self._subscribers:
            self._subscribers[process.id] = []
            process.when_ended(partial(self._forget, process.id))
        wanted = self._subscribers[process.id]
        if not any(one.kind is kind and one.section == section for one in wanted):
            wanted.append(Asked(kind, section))

    def _forget(self, pid: PID) -> None:
        self._subscribers.pop(pid, None)

    def change(self, source: Configuration) -> list[str]:
        """Puts other values in force, and sends them to the processes that wait for changes. Returns the names of the
        sections that have changed, of those that were asked for. Raises `BadOption`, `BadConfiguration`; then nothing
        has changed."""
        before = self.source
        changed: list[tuple[Asked, Any]] = []
        for asked in self.asked:
            values: Any = source.section(asked.kind, asked.section)
            if not same(before.section(asked.kind, asked.section), values):
                changed.append((asked, values))
        self.source = source
        for asked, values in changed:
            self._tell(asked, values)
        return list(dict.fromkeys(asked.section for asked, _ in changed))

    def _tell(self, asked: Asked, values: Any) -> None:
        message = MessageConfig(asked.section, values)
        for pid, wanted in tuple(self._subscribers.items()):
            if any(one.kind is asked.kind and one.section == asked.section for one in wanted):
                try:
                    self._core.delivery.send(self._core.pid, pid, message)
                except DeliveryError as error:  # its mailbox is full, or it has just ended
                    self._core.log.warning("%s was not told of the new configuration: %s", pid, error)


def options_of_server(loop: asyncio.AbstractEventLoop | None, name: str) -> dict[str, Any]:
    """Returns the options of the UDP server `name` in the configurations of the nodes on this loop."""
    found: dict[str, Any] = {}
    for node in _by_loop.get(loop, ()) if loop is not None else ():
        found.update(node.source.server(name))
    return found
