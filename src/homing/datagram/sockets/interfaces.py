"""Interfaces that a socket was asked for by name: the groups joined there, the one that multicast is sent by, and the
one that it is bound to.

The kernel remembers an interface by its index, and forgets the groups of one that ends. If one of the same name is made
again (a VPN, a container), its index is another; one that is moved to another namespace and back even keeps it. So:

Rule 1: what is asked for explicitly is always given to the kernel, with the index of now.
Rule 2: whatever events of the links show to be outdated is asked for again. Where the system reports none, rule 1 alone
holds, and what the kernel has joined already is left first, as it may be of an interface that has ended.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from ...gen import BadOption, NotAllowed
from .links import Links, open_links
from .multicast import MulticastGroup, index_of, join, leave
from .set_options import bind_device, set_multicast_interface

_LEFT = 256
"""Groups that were left are remembered, so many at most, so that to leave one twice is no error."""


class _Use:
    """An interface in use. ended: the one of that index has ended since."""

    __slots__ = ("ended", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.ended = False


class Interfaces:
    """What one socket was asked for by the names of interfaces, as it is in force.

    multicast_interface, bind_device: as in `SocketOptions`.
    held_back: the socket is still another program's. Groups are joined and left when that `take_effect`s.
    on_failure: called with a `BadOption` if something could not be asked for again after an interface has changed. Must
        not raise.
    """

    def __init__(
        self,
        sock: socket.socket,
        groups: tuple[MulticastGroup, ...] = (),
        multicast_interface: str | int = "",
        bind_device: str = "",
        *,
        held_back: bool = False,
    ) -> None:
        self._sock = sock
        self._held_back = held_back
        self.on_failure: Callable[[BadOption], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._links: Links | None = None
        self._opened = self._following = False
        self._left: dict[MulticastGroup, None] = {}
        self.multicast_interface = multicast_interface
        self.bind_device = bind_device
        if groups or multicast_interface or bind_device:
            self._open()
        self._joined = {group: _Use(self._index(group)) for group in groups}
        self._multicast = _Use(self._named(multicast_interface))
        self._device = _Use(self._named(bind_device))

    @property
    def groups(self) -> tuple[MulticastGroup, ...]:
        """The groups that are joined."""
        return tuple(self._joined)

    @property
    def memberships(self) -> list[tuple[MulticastGroup, int]]:
        """The same, each with the index of its interface; 0: that of the route."""
        return [(group, use.index) for group, use in self._joined.items()]

    def is_joined(self, group: MulticastGroup, index: int) -> bool:
        """True if `group` is joined on the interface of this index, by whatever name."""
        return any(
            (one.address, one.source, at) == (group.address, group.source, index) for one, at in self.memberships
        )

    def restore(self) -> None:
        """Joins again what another program that has the same socket may have left."""
        for group, use in self._joined.items():
            self._again(partial(join, self._sock, index=use.index, again=True), group, group.interface)

    def take_effect(self) -> None:
        """The socket is no other program's any more: joins what was held back. Raises `BadOption`."""
        self._held_back = False
        for group, use in self._joined.items():
            join(self._sock, group, use.index, again=True)

    # --- explicit requests --------------------------------------------------------------------------------

    def join(self, group: MulticastGroup) -> None:
        """Joins `group` on the interface that has this name now, whether it was joined before or not. Raises
        `BadOption`; then what was joined before stays so."""
        if self._held_back:
            self._hold_back(MulticastGroup(group.address, group.interface, group.source))
            return
        self._open()
        self._note_ended()
        self._join(MulticastGroup(group.address, group.interface, group.source))

    def _hold_back(self, group: MulticastGroup) -> None:
        """Joins later. A new socket tries now whether it can."""
        with socket.socket(self._sock.family, socket.SOCK_DGRAM) as trial:
            join(trial, group, index_of(trial, group.interface))
        self._joined[group] = _Use(self._index(group))
        self._left.pop(group, None)

    def _join(self, group: MulticastGroup) -> None:
        index, before = self._index(group), self._joined.get(group)
        known = self._links is not None and before is not None and not before.ended
        if not join(self._sock, group, index, again=True) and not known:
            leave(self._sock, group, index)
            join(self._sock, group, index)
        self._joined[group] = _Use(index)
        self._left.pop(group, None)
        if before is not None and before.index != index:
            leave(self._sock, group, before.index)

    def leave(self, group: MulticastGroup) -> None:
        """Leaves `group`, also if its interface has ended. One that was left before is no error.

        Raises `NotAllowed` if it was never joined on that interface and from that source.
        """
        group = MulticastGroup(group.address, group.interface, group.source)
        if group in self._left:
            return
        if group not in self._joined:
            joined = ", ".join(map(str, self.groups)) or "none"
            raise NotAllowed(f"{group} is not joined; joined: {joined}")
        index = self._joined.pop(group).index
        if not self._held_back:
            leave(self._sock, group, index)
        self._left[group] = None
        if len(self._left) > _LEFT:
            del self._left[next(iter(self._left))]

    def send_multicast_by(self, interface: str | int) -> None:
        """Sends multicast by the interface that has this name now; "": by that of the route. Raises `BadOption`."""
        self._open()
        set_multicast_interface(self._sock, interface)
        self.multicast_interface = interface
        self._multicast = _Use(self._named(interface))

    def attach_to(self, device: str) -> None:
        """Sends and receives by the interface that has this name now; "": by any. Raises `BadOption`."""
        self._open()
        bind_device(self._sock, device)
        self.bind_device = device
        self._device = _Use(self._named(device))

    def _index(self, group: MulticastGroup) -> int:
        """The index of its interface; 0 if only the kernel knows. Raises `BadOption` if there is none of its name."""
        if group.interface or self._links is None:
            return index_of(self._sock, group.interface)
        return self._links.route_to(group.address)

    def _named(self, interface: str | int) -> int:
        """The index of an interface; 0 if there is none."""
        try:
            return index_of(self._sock, interface)
        except BadOption:
            return 0

    # --- events -------------------------------------------------------------------------------------------

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on asks again for what an event shows to be outdated. A second time asks again for all of it where
        the system reports no events: the socket has a new owner, which has asked for it."""
        if self._loop is not None and self._links is None:
            self._ask_again_for_all()
        self._loop = loop
        if self._links is not None and not self._following:
            self._following = True
            loop.add_reader(self._links.fileno(), self._changed)

    def close(self) -> None:
        """Follows no more."""
        links, self._links = self._links, None
        if links is not None:
            if self._following and self._loop is not None:
                self._loop.remove_reader(links.fileno())
            links.close()

    def _open(self) -> None:
        """Begins to watch the links, when they first matter."""
        if self._opened or not isinstance(self._sock, socket.socket):
            return
        self._opened = True
        self._links = open_links(self._sock)
        if self._loop is not None:
            self.follow(self._loop)

    def _note_ended(self) -> None:
        if self._links is not None:
            ended = self._links.take_ended()
            for use in (*self._joined.values(), self._multicast, self._device):
                if ended is None or use.index in ended:
                    use.ended = True

    def _changed(self) -> None:
        """Something has happened to an interface, or to a route."""
        self._note_ended()
        self._ask_again()
        if self._links is not None:
            self._links.watch_routes(any(use.ended and not group.interface for group, use in self._joined.items()))

    def _ask_again(self) -> None:
        """Asks again for what is outdated."""
        for group, use in list(self._joined.items()):
            if self._outdated(group.interface, use):
                self._again(self._join, group, group.interface)
        if self.multicast_interface and self._outdated(self.multicast_interface, self._multicast):
            self._again(self.send_multicast_by, self.multicast_interface, self.multicast_interface)
        if self.bind_device and self._outdated(self.bind_device, self._device):
            self._again(self.attach_to, self.bind_device, self.bind_device)

    def _ask_again_for_all(self) -> None:
        for use in (*self._joined.values(), self._multicast, self._device):
            use.ended = True
        self._ask_again()

    def _outdated(self, interface: str | int, use: _Use) -> bool:
        return use.ended or (isinstance(interface, str) and interface != "" and self._named(interface) != use.index)

    def _again(self, ask: Callable[[Any], object], wanted: Any, interface: str | int) -> None:
        """Asks once more. While the interface is not there nothing is wrong: an event will tell when it is."""
        try:
            ask(wanted)
        except BadOption as error:
            if self.on_failure is not None and isinstance(interface, str) and self._named(interface):
                self.on_failure(error)
