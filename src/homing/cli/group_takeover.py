"""`homing run --takeover --processes`: the sockets that several processes share go from one supervising program to the
next. Each process takes over from its own predecessor as ever, see `meta.upgrade`.

    successor                 predecessor
    hello               ->                 with the number of processes
                        <-    group        for each address, in several messages if there are many sockets
                        <-    end
    starts its processes                   starts none again that ends
    done                ->
                                           ends when its processes have ended

Rule 1: until "done" the predecessor can continue: if the channel is closed before, it starts those processes again that
have ended meanwhile.
Rule 2: there may be more processes afterwards, and never fewer: nobody would read the sockets left over.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

from ..datagram.sockets.shared.group import Group
from ..datagram.sockets.shared.keeper import Keeper
from ..datagram.sockets.shared.messages import BadMessage, close_all, key_untrusted
from ..gen import HomingError, NotAllowed
from ..meta.upgrade.channel import MOST_DESCRIPTORS, PROTOCOL, Channel, Refused, connect, identity_of, listen
from ..meta.upgrade.predecessor import ANSWER_TIMEOUT, START_TIMEOUT
from ..node.deadline import Deadline
from .processes import Processes, Say
from .rolling import Rolling


class GroupOffer:
    """Lets a second `homing run --takeover --processes` take over from these processes, and plain ones know that they
    cannot. Listens at the Unix socket `path`. Raises `OSError`."""

    def __init__(self, name: str, path: str, processes: Processes, rolling: Rolling, say: Say) -> None:
        self._name = name
        self._path = path
        self._processes = processes
        self._rolling = rolling
        self._say = say
        self._sock = listen(path)
        self._identity = identity_of(path)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock.fileno(), self._accept)
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Ends the offer."""
        self._loop.remove_reader(self._sock.fileno())
        # While the socket is open, no other file has its number: so this is not the file of a later program.
        if self._identity is not None and identity_of(self._path) == self._identity:
            with suppress(OSError):
                os.unlink(self._path)
        self._sock.close()
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        with suppress(OSError):  # the one that connects tries again, or gives up
            task = self._loop.create_task(self._serve(Channel(self._sock.accept()[0])))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, channel: Channel) -> None:
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await self._check(channel)
            if self._processes.stopping.is_set():
                await channel.send("stopping")
                await channel.receive("nothing")  # the channel stays open until this program ends
            else:
                await self._hand_over(channel)
        except (EOFError, TimeoutError, HomingError, OSError) as error:
            why = {EOFError: "it has ended", TimeoutError: "it took too long"}.get(type(error), str(error))
            self._say(f"OS process {channel.pid} has not taken over: {why}")
            with suppress(EOFError, OSError, TimeoutError):
                async with Deadline(ANSWER_TIMEOUT):
                    await channel.send("refused", why=why)
        finally:
            channel.close()

    async def _check(self, channel: Channel) -> None:
        if channel.uid != os.geteuid():
            raise NotAllowed(f"it belongs to user {channel.uid}")
        hello, count = await channel.receive("hello"), len(self._processes.slots)
        if hello.get("protocol") != PROTOCOL:
            raise NotAllowed(f"it speaks protocol {hello.get('protocol')!r}, not {PROTOCOL}; stop the running program")
        if hello.get("node") != self._name:
            raise NotAllowed(f"its name is {hello.get('node')!r}, this one is {self._name!r}")
        wanted = hello.get("processes", 1)
        if type(wanted) is not int or wanted < count:
            raise NotAllowed(
                f"{count} processes run under the name {self._name}: take over with --processes {count} or more, since "
                "nobody would read the sockets of the others; or stop them first"
            )
        if self._rolling.refusal:
            raise NotAllowed(self._rolling.refusal)
        if self._rolling.busy or self._processes.taken_over is not None:
            raise NotAllowed("an upgrade is going on already")

    async def _hand_over(self, channel: Channel) -> None:
        taken_over = self._processes.taken_over = self._loop.create_future()
        try:
            async with Deadline(ANSWER_TIMEOUT):
                for group in () if self._processes.keeper is None else tuple(self._processes.keeper.groups):
                    await _send(channel, group)
                await channel.send("end")
            self._say(f"OS process {channel.pid} is taking over")
            async with Deadline(START_TIMEOUT):
                await channel.receive("done")
        except BaseException:
            self._processes.taken_over = None
            taken_over.set_result(False)
            raise
        taken_over.set_result(True)
        self._identity = None  # the file is the successor's, or about to be
        self._say(f"OS process {channel.pid} has taken over")


async def _send(channel: Channel, group: Group) -> None:
    """Sends a group, of which all sockets are bound or it does not count yet."""
    if group.maker is not None:
        return
    members = [(number, sock) for number, sock in enumerate(group.members) if sock is not None]
    for start in range(0, len(members), MOST_DESCRIPTORS):
        part = members[start : start + MOST_DESCRIPTORS]
        await channel.send(
            "group",
            number=group.number,
            key=group.key,
            steered=group.steered,
            stream=group.stream,
            processes=[number for number, _ in part],
            descriptors=[sock.fileno() for _, sock in part],
        )


async def take_groups(name: str, path: str, keeper: Keeper, count: int) -> Channel | None:
    """Takes the shared sockets over from the program that listens at `path`. Returns the channel to it, on which "done"
    is to be sent; None if there is no such program, or it has ended.

    Raises `NotAllowed` if it refuses, `OSError`.
    """
    channel = await connect(path, ANSWER_TIMEOUT)
    if channel is None:
        return None
    try:
        async with Deadline(ANSWER_TIMEOUT):
            await channel.send("hello", protocol=PROTOCOL, node=name, processes=count)
            found = await _receive(channel, count)
        if found is None:
            async with Deadline(START_TIMEOUT):
                await channel.receive("nothing")  # until it has stopped, and its addresses are free
            raise EOFError
    except EOFError:
        channel.close()
        return None
    except TimeoutError:
        channel.close()
        raise NotAllowed(f"OS process {channel.pid}, which is to hand over, does not answer") from None
    except BaseException:
        channel.close()
        raise
    for told, members in found.values():
        steered, stream = told.get("steered") is True, told.get("stream") is True
        keeper.adopt(key_untrusted(told["key"]), members, steered=steered, stream=stream)
    return channel


Found = dict[int, tuple[dict[str, Any], list[socket.socket | None]]]


async def _receive(channel: Channel, count: int) -> Found | None:
    """Returns the groups, by number; None if the predecessor is stopping."""
    found: Found = {}
    try:
        while True:
            message, descriptors = await channel.receive_descriptors("group", "end", "stopping")
            sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            if message["say"] != "group":
                close_all(sockets)
                return found if message["say"] == "end" else None
            _, members = found.setdefault(message.get("number", -1), (message, []))
            members.extend([None] * (count - len(members)))
            processes = message.get("processes")
            if not isinstance(processes, list) or len(processes) != len(sockets):
                close_all(sockets)
                raise Refused(f"OS process {channel.pid} sent {len(sockets)} sockets, but no number for each")
            key_untrusted(message.get("key"))
            for process, sock in zip(processes, sockets, strict=True):
                if type(process) is not int or not 0 <= process < count:
                    raise Refused(f"OS process {channel.pid} sent a socket for process {process!r} of {count}")
                members[process] = sock
    except BaseException as error:
        for _, members in found.values():
            close_all(sock for sock in members if sock is not None)
        if isinstance(error, BadMessage):
            raise Refused(f"OS process {channel.pid}: {error}") from None
        raise
