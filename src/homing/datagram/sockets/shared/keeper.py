"""The program that supervises several processes keeps the sockets that they share, and lends each process its own of
UDP, and the common one of TCP.

It binds nothing itself: the first process that asks for an address binds the sockets of all, with all options of its
server, and hands them over. So a fault of the address or of an option is an error of the server that asks.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from ....gen.foreign import safe_repr
from ..forks import close_in_forks
from ..inherited import Inherited
from ..kernel import kernel_drops
from .group import Group
from .messages import BadMessage, Key, close_all, key_untrusted, number_untrusted, receive_untrusted, send
from .seat import VARIABLE

KEPT_SECONDS = 10.0
"""Seconds for which a socket that its process does not use any more, or not yet, waits for a server. Not measured: a
supervisor that backs off (`act.Backoff`) mostly waits less."""

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


def can_share() -> bool:
    """Returns True if this system can share sockets in this way: Linux."""
    return sys.platform == "linux"


class Place:
    """The connection to one process. process: its number, from 0 on, of so many (`count`).

    child: the end for the process, see `variables`. To be closed once the process has been started.
    """

    def __init__(self, process: int, count: int) -> None:
        self.process = process
        self._count = count
        self.sock, self.child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)
        close_in_forks(self.sock, socket.socket.close)  # not `child`: starting a process may be a fork, too
        self.made: list[socket.socket] = []

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables for the process, which inherits the descriptor of `child`."""
        return {VARIABLE: f"{self.child.fileno()}/{self._count}"}


class Keeper:
    """Keeps the sockets that `count` processes share. On the running event loop.

    say: prints what an operator should know. passed: sockets that the program was started with, by systemd. One of the
    `activation` or address that a server asks for is the first of its group, several are the first ones.
    """

    def __init__(self, count: int, say: Callable[[str], None], passed: Iterable[Inherited] = ()) -> None:
        self.groups: list[Group] = []
        self.started = [asyncio.Event() for _ in range(count)]
        """For each process: set once its application has started for the first time."""
        self._count = count
        self._say = say
        self._passed = list(passed)
        self._loop = asyncio.get_running_loop()
        self._places: set[Place] = set()
        self._numbers = itertools.count()

    def place(self, process: int) -> Place:
        """Returns a new connection, for an OS process that is about to be started. A process may have two: that of a
        successor, too."""
        place = Place(process, self._count)
        self._places.add(place)
        self._loop.add_reader(place.sock.fileno(), self._read, place)
        return place

    def adopt(self, key: Key, members: list[socket.socket | None], *, steered: bool, stream: bool) -> None:
        """Continues a group of another program. Its processes are awaited."""
        members = members[:1] if stream else [*members, *[None] * (self._count - len(members))]
        group = Group(next(self._numbers), key, members, steered=steered, stream=stream)
        group.awaited = {process for process in range(self._count) if group.of_process(process) is not None}
        self.groups.append(group)

    def ended(self, process: int) -> None:
        """Is called when a process has ended and is not started again."""
        for group in tuple(self.groups):
            group.awaited.discard(process)
            self._give_up(group, process)
            self._look(group)

    def _give_up(self, group: Group, process: int) -> None:
        """Closes a socket that no server reads, so that the kernel distributes the peers among the others. With
        steering that would renumber them: so it stays open."""
        if group.stream or not group.in_use or group.members[process] is None or group.maker is not None:
            return
        if group.steered:
            self._say(f"process {process + 1} has no server at {group}: what is steered to it waits")
        else:
            group.drop(process)

    def close(self) -> None:
        """Closes all sockets and connections."""
        for place in tuple(self._places):
            self._disconnect(place)
        for group in self.groups:
            group.close()
        self.groups.clear()

    # --- what processes say -------------------------------------------------------------------------------

    def _read(self, place: Place) -> None:
        try:
            message, sockets = receive_untrusted(place.sock)
        except BlockingIOError:
            return
        except (BadMessage, EOFError, OSError) as error:
            self._lose(place, "" if isinstance(error, EOFError) else str(error))
            return
        try:
            self._handle(place, message, sockets)
        except BadMessage as error:
            self._lose(place, str(error))
        finally:
            close_all(sockets)

    def _handle(self, place: Place, message: dict[str, Any], sockets: list[socket.socket]) -> None:
        say = message.get("say")
        if say == "ask":
            self._ask(place, message)
        elif say == "made":
            self._made(place, message, sockets)
        elif say == "failed":
            self._failed(place)
        elif say == "release":
            self._release(place, number_untrusted(message, "group"))
        elif say == "started":
            self._started(place)
        else:
            raise BadMessage(f"it said {safe_repr(say)}")

    def _ask(self, place: Place, message: dict[str, Any]) -> None:
        key, ref = key_untrusted(message.get("key")), number_untrusted(message, "ref")
        stream = message.get("stream") is True
        alike = [one for one in self.groups if (one.key, one.stream) == (key, stream)]
        group = next((one for one in alike if place not in one.holders), None)
        if group is None:  # the process's first server there, or its second
            count = 1 if stream else self._count
            passed = self._passed_for(key, message.get("addresses"), _KINDS[stream])[:count]
            if (why := _why_not_shared(key, passed, self._passed, count)) is not None:
                self._tell(place, (), say="refused", ref=ref, why=why)
                return
            group = Group(next(self._numbers), key, [None] * count, stream=stream)
            group.fill([one.lend() for one in passed])
            self.groups.append(group)
        group.steered = message.get("steered") is True
        self._answer(place, group, ref)

    def _passed_for(self, key: Key, addresses: object, kind: int) -> list[Inherited]:
        """Returns the sockets of this kind, passed to this program, that a group may begin with."""
        free = [one for one in self._passed if one.kind == kind and one.free and one.address != ""]
        if key[-1] and any(one.name for one in self._passed):
            return [one for one in free if one.name == key[-1]]
        wanted = addresses if isinstance(addresses, list) else []
        return [one for one in free if list(one.address) in wanted]

    def _answer(self, place: Place, group: Group, ref: int) -> None:
        sock = group.of_process(place.process)
        if sock is not None:
            group.holders.add(place)
            group.awaited.discard(place.process)
            counted = 0 if group.stream else kernel_drops(sock) or 0
            self._tell(place, [sock], say="socket", ref=ref, group=group.number, counted=counted)
        elif group.maker is not None:
            group.queue.append((place, ref))
        else:
            group.maker = place
            group.queue.insert(0, (place, ref))
            sample = group.sample
            self._tell(place, [] if sample is None else [sample], say="make", ref=ref, count=group.missing)

    def _made(self, place: Place, message: dict[str, Any], sockets: list[socket.socket]) -> None:
        group = self._made_by(place)
        kind = _KINDS[group.stream]
        if any(sock.type != kind or sock.family not in _FAMILIES for sock in sockets):
            raise BadMessage(f"it sent a socket that is not of {'TCP' if group.stream else 'UDP'}")
        place.made += sockets
        sockets.clear()
        if number_untrusted(message, "left") > 0:
            return
        made, place.made = place.made, []
        if len(made) != group.missing:
            close_all(made)
            raise BadMessage(f"it made {len(made)} sockets, not {group.missing}")
        group.fill(made)
        group.maker = None
        queue, group.queue = group.queue, []
        for waiting, ref in queue:
            self._answer(waiting, group, ref)
        for process in range(self._count):
            self._loop.call_later(KEPT_SECONDS, self._give_up_unused, group, process)

    def _made_by(self, place: Place) -> Group:
        for group in self.groups:
            if group.maker is place:
                return group
        raise BadMessage("it made sockets unasked")

    def _failed(self, place: Place) -> None:
        """Lets the next process that waits try to bind the sockets: perhaps it may."""
        group = self._made_by(place)
        group.maker = None
        group.queue = [(waiting, ref) for waiting, ref in group.queue if waiting is not place]
        if group.queue:
            waiting, ref = group.queue.pop(0)
            self._answer(waiting, group, ref)
        elif group.sample is None:
            self.groups.remove(group)
        else:
            self._look(group)

    def _release(self, place: Place, number: int) -> None:
        for group in self.groups:
            if group.number == number:
                group.holders.discard(place)
                self._look(group)
                self._loop.call_later(KEPT_SECONDS, self._give_up_unused, group, place.process)

    def _started(self, place: Place) -> None:
        self.started[place.process].set()
        for group in self.groups:
            group.awaited.discard(place.process)
            self._look(group)
            self._loop.call_later(KEPT_SECONDS, self._give_up_unused, group, place.process)

    def _lose(self, place: Place, why: str) -> None:
        """The process has ended. (Or has sent nonsense: then it continues with its present sockets.)"""
        if why:
            self._say(f"process {place.process + 1} gets no shared sockets any more: {why}")
        self._disconnect(place)
        for group in tuple(self.groups):
            if place in group.holders:
                group.holders.discard(place)
                if not any(other.process == place.process for other in group.holders):
                    group.awaited.add(place.process)
            if group.maker is place:
                self._failed(place)
            group.queue = [(waiting, ref) for waiting, ref in group.queue if waiting is not place]
            self._look(group)

    def _disconnect(self, place: Place) -> None:
        self._places.discard(place)
        self._loop.remove_reader(place.sock.fileno())
        place.sock.close()
        place.child.close()
        close_all(place.made)

    def _tell(self, place: Place, sockets: Iterable[socket.socket], **message: Any) -> None:
        with suppress(OSError):  # it has ended, which is read next
            send(place.sock, [sock.fileno() for sock in sockets], **message)

    def _look(self, group: Group) -> None:
        """Closes a group that is not used for a while."""
        if not group.in_use:
            self._loop.call_later(KEPT_SECONDS, self._close_unused, group)

    def _close_unused(self, group: Group) -> None:
        if group in self.groups and not group.in_use:
            self.groups.remove(group)
            group.close()

    def _give_up_unused(self, group: Group, process: int) -> None:
        """Gives a socket up if its process has started without a server there, or has closed it for good."""
        used = process in group.awaited or any(place.process == process for place in group.holders)
        if group in self.groups and self.started[process].is_set() and not used:
            self._give_up(group, process)


def _why_not_shared(key: Key, found: list[Inherited], passed: list[Inherited], count: int) -> str | None:
    """Returns why the processes cannot share the sockets that were found among those passed; None if they can."""
    name = key[-1]
    if name and not found and any(one.name for one in passed):
        return f"no socket of the name {name!r} that is free was passed to the program; see FileDescriptorName="
    for one in found if len(found) < count else ():
        with one.borrowed() as sock:
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
                return f"the socket {one} was passed to the program without ReusePort=yes; see systemd.socket(5)"
    return None
