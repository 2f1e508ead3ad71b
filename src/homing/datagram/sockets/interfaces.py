"""Keeps a socket's settings that name interfaces in force: joined groups, the interface for multicast, and the
interface that the socket is bound to.

The kernel stores an interface by its index, and forgets the groups of an interface that is removed. If an interface of
the same name is created again (a VPN, a container), its index is another; an interface that is moved to another
namespace and back even keeps its index. So:

Rule 1: explicit requests are always passed to the kernel, with the current index.
Rule 2: settings that link events show to be outdated are made again. If the system reports no events, only rule 1
holds, and a group that the kernel has already joined is left first: the interface may have been removed.
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
"""Most left groups that are remembered, so that leaving a group twice is not an error."""


class _Use:
    """An interface in use. ended: True if the interface of that index has been removed since."""

    __slots__ = ("ended", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.ended = False


class Interfaces:
    """The settings of one socket that name interfaces.

    multicast_interface, bind_device: as in `SocketOptions`.
    held_back: another program still uses the socket. Groups are joined and left by `take_effect`.
    on_failure: called with a `BadOption` if a setting could not be made again after an interface has changed. Must not
        raise.
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
        """The joined groups."""
        return tuple(self._joined)

    @property
    def memberships(self) -> list[tuple[MulticastGroup, int]]:
        """The joined groups, each with the index of its interface; 0: the interface of the route."""
        return [(group, use.index) for group, use in self._joined.items()]

    def is_joined(self, group: MulticastGroup, index: int) -> bool:
        """Returns True if `group` is joined on the interface of this index, by any name."""
        return any(
            (one.address, one.source, at) == (group.address, group.source, index) for one, at in self.memberships
        )

    def restore(self) -> None:
        """Joins again the groups that another program with the same socket may have left."""
        for group, use in self._joined.items():
            self._again(partial(join, self._sock, index=use.index, again=True), group, group.interface)

    def take_effect(self) -> None:
        """Joins the groups that were held back, once no other program uses the socket. Raises `BadOption`."""
        self._held_back = False
        for group, use in self._joined.items():
            join(self._sock, group, use.index, again=True)

    # --- explicit requests --------------------------------------------------------------------------------

    def join(self, group: MulticastGroup) -> None:
        """Joins `group` on the interface that has this name now, even if it was joined before. If it raises
        `BadOption`, groups joined before stay joined."""
        if self._held_back:
            self._hold_back(MulticastGroup(group.address, group.interface, group.source))
            return
        self._open()
        self._note_ended()
        self._join(MulticastGroup(group.address, group.interface, group.source))

    def _hold_back(self, group: MulticastGroup) -> None:
        """Postpones a join. Tries it now on a new socket, so that errors are raised at once."""
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
        """Leaves `group`, even if its interface has been removed. Leaving it again is not an error.

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
        """Makes the socket send multicast by the interface that has this name now; "": by the interface of the route.
        Raises `BadOption`."""
        self._open()
        set_multicast_interface(self._sock, interface)
        self.multicast_interface = interface
        self._multicast = _Use(self._named(interface))

    def attach_to(self, device: str) -> None:
        """Makes the socket send and receive by the interface that has this name now; "": by any. Raises `BadOption`."""
        self._open()
        bind_device(self._sock, device)
        self.bind_device = device
        self._device = _Use(self._named(device))

    def _index(self, group: MulticastGroup) -> int:
        """Returns the index of the group's interface; 0 if only the kernel knows it. Raises `BadOption` if no interface
        has the name."""
        if group.interface or self._links is None:
            return index_of(self._sock, group.interface)
        return self._links.route_to(group.address)

    def _named(self, interface: str | int) -> int:
        """Returns the index of an interface; 0 if there is no such interface."""
        try:
            return index_of(self._sock, interface)
        except BadOption:
            return 0

    # --- events -------------------------------------------------------------------------------------------

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to make settings again that events show to be outdated. A second call, for a new owner of the socket,
        makes all settings again if the system reports no events."""
        if self._loop is not None and self._links is None:
            self._ask_again_for_all()
        self._loop = loop
        if self._links is not None and not self._following:
            self._following = True
            loop.add_reader(self._links.fileno(), self._changed)

    def close(self) -> None:
        """Stops following events."""
        links, self._links = self._links, None
        if links is not None:
            if self._following and self._loop is not None:
                self._loop.remove_reader(links.fileno())
            links.close()

    def _open(self) -> None:
        """Starts watching the links, when they first matter."""
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
        """Called when an interface or a route has changed."""
        self._note_ended()
        self._ask_again()
        if self._links is not None:
            self._links.watch_routes(any(use.ended and not group.interface for group, use in self._joined.items()))

    def _ask_again(self) -> None:
        """Makes outdated settings again."""
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
        """Makes a setting again. A missing interface is not an error: an event reports when it appears."""
        try:
            ask(wanted)
        except BadOption as error:
            if self.on_failure is not None and isinstance(interface, str) and self._named(interface):
                self.on_failure(error)
