"""Taking over the UDP sockets of a predecessor: another OS process, which serves until we can.

This is the successor's side; the other one, and the protocol, are in `predecessor`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from ...datagram.sockets import inherited
from ...datagram.sockets.inherited import Inherited
from ...datagram.sockets.kernel import kernel_drops
from ...gen import BadOption, NotAllowed
from ...node import Node
from ...node.deadline import Deadline
from ...node.node import internals
from .channel import PROTOCOL, Channel, Refused, close_all, connect, ended, require_linux
from .descriptors import check_room
from .groups import tell_groups
from .handed_sockets import servers_of
from .predecessor import ANSWER_TIMEOUT, START_TIMEOUT, Offer

_END_TIMEOUT = 2.0
"""Seconds from the end of a predecessor's node to the end of its OS process, which some programs do not end with."""


class TakeOver:
    """Starts a service in the place of one that runs, without losing a datagram. Linux only.

        async with meta.TakeOver(node, "/run/user/1000/dns.takeover"):
            await node.spawn(Service)
        node.ready()
        await node.wait()

    At the beginning of the block the program that listens at the Unix socket `path`, if any, hands over all its UDP
    sockets: same user, same node name. In the block a server that asks for the same address, or `activation`, gets its
    socket instead of binding it, and may send, but does not read: the predecessor serves on. At the end of the block
    that one stops reading, works off what it has, answers it, and stops; the servers here read on. If the block raises,
    or this program ends in it, the predecessor goes on as if nothing had been. After the block this program listens at
    `path`, for the next, to which it hands over likewise: then its node stops.

    Sockets keep what was set on them: buffers, multicast groups, what waits there. What the options of a server here
    ask for is set when the predecessor has stopped reading. Those of which no server was made are closed, and named in
    the log. Port 0 gets a new port. If the predecessor does not answer at the end, or has gone, the servers here read
    all the same. One that is stopping already, or ends before it has handed over, counts as none: entering waits for
    its end, so that its addresses can be bound.

    Entering raises `NotAllowed` if it refuses: it is taken over already, or of another user, node name or protocol; if
    it does not answer, does not end, or there are not enough file descriptors; `BadOption` if `path` cannot be used.
    Leaving raises `NotAllowed` if it has waited too long for the block (five minutes), or what the system refuses to
    set, and the predecessor goes on: then this program is to stop.

    predecessor: its OS process; None: there is none.
    """

    def __init__(self, node: Node, path: str) -> None:
        require_linux()
        self.predecessor: int | None = None
        self._node = node
        self._path = path
        self._channel: Channel | None = None
        self._sockets: list[Inherited] = []
        self._handed_over = asyncio.Event()
        self._parting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + START_TIMEOUT
        while (channel := await self._connect()) is not None:
            self._channel = channel
            try:
                await self._ask(channel)
                break
            except EOFError:
                self._node.log.info("OS process %d, which was to hand over, has ended", channel.pid)
                self._give_up()
                await ended(channel.pid, _END_TIMEOUT)
                self._channel = None
            except BaseException:
                self._give_up()
                raise
            if loop.time() > give_up:
                raise NotAllowed(f"one program after the other listens at {self._path} and ends")
        if channel is not None:
            self.predecessor = channel.pid
            self._node.log.info("taking over %d sockets from OS process %d", len(self._sockets), channel.pid)
            self._node.on_stopped(self._give_up)
        return self

    async def _connect(self) -> Channel | None:
        try:
            return await connect(self._path, ANSWER_TIMEOUT)
        except TimeoutError:  # which is an `OSError`
            raise NotAllowed(
                f"the program that listens at {self._path}, which is to hand over, does not answer"
            ) from None
        except OSError as error:
            raise BadOption("path", self._path, f"it cannot be connected to: {error.strerror or error}") from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._give_up()
            return
        if self._channel is not None:
            try:
                await self._let_servers_read(self._channel)
            except BaseException:
                self._give_up()
                raise
        try:
            Offer(self._node, self._path)
        except OSError as failure:
            raise BadOption("path", self._path, f"nothing can listen there: {failure.strerror or failure}") from None

    async def _ask(self, channel: Channel) -> None:
        """Gets the sockets. Raises `EOFError` if the predecessor ends before, also if it was stopping already."""
        if channel.uid != os.geteuid():
            raise NotAllowed(f"OS process {channel.pid}, which listens at {self._path}, is of user {channel.uid}")
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await _say(channel, "hello", protocol=PROTOCOL, node=self._node.name)
                more = await self._receive(channel)
                while more:
                    more = await self._receive(channel)
        except TimeoutError:
            raise NotAllowed(f"OS process {channel.pid}, which is to hand over, does not answer") from None
        if more is None:
            await self._wait_for_end(channel)

    async def _receive(self, channel: Channel) -> bool | None:
        """Gets some of the sockets. True if there are more; None if there are none, as the predecessor is stopping."""
        message, descriptors = await channel.receive_descriptors("sockets", "stopping")
        try:
            if message["say"] == "stopping":
                close_all(descriptors)
                return None
            left, names = message.get("left"), message.get("names")
            if type(left) is not int or not isinstance(names, list) or len(names) != len(descriptors):
                raise Refused(f"OS process {channel.pid} sent {len(descriptors)} sockets, but other names")
            if not self._sockets:
                total = left + len(names)
                check_room(total, 2 * total - len(names), "taking over")
            found = [Inherited(descriptor, str(name)) for descriptor, name in zip(descriptors, names, strict=True)]
        except OSError as error:
            close_all(descriptors)
            raise Refused(f"OS process {channel.pid} sent what is no socket: {error.strerror or error}") from None
        except BaseException:
            close_all(descriptors)
            raise
        for one in found:
            one.handed_over = self._handed_over
        inherited.keep(found)
        self._sockets += found
        return left > 0

    async def _wait_for_end(self, channel: Channel) -> None:
        """The predecessor is stopping: its addresses are free when it has. Raises `EOFError` then."""
        self._node.log.info("OS process %d is stopping: its end is waited for", channel.pid)
        try:
            async with Deadline(START_TIMEOUT):
                await channel.receive("nothing")
        except TimeoutError:
            raise NotAllowed(f"OS process {channel.pid} has not stopped in {START_TIMEOUT:g} s") from None

    async def _let_servers_read(self, channel: Channel) -> None:
        """The servers set what their options ask for and read, once the predecessor does not."""
        message: dict[str, Any] = {}
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await _say(channel, "ready", groups=tell_groups(self._sockets, servers_of(self._node)))
                message = await channel.receive("stopped")
        except (EOFError, TimeoutError) as error:
            self._warn(error)
        self._count_from(message.get("drops"))
        for one in self._sockets:
            one.take_effect()
        self._handed_over.set()
        for one in self._sockets:
            one.handed_over = None
        await asyncio.sleep(0)  # they begin at once
        self._close_unused()
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await _say(channel, "reading")
                await channel.receive("done", "stopped")
        except (EOFError, TimeoutError) as error:
            self._warn(error)
        self._parting = internals(self._node).core.loop.create_task(self._part(channel))

    def _count_from(self, drops: object) -> None:
        """What the kernel drops is counted from where the predecessor's counters end: `drops`, as it tells them. If it
        does not, from here on."""
        for number, one in enumerate(self._sockets):
            told = drops.get(str(number), one.counted) if isinstance(drops, dict) else None
            if type(told) is int:
                one.counted = told
            else:
                with one.borrowed() as sock:
                    one.counted = kernel_drops(sock) or 0

    def _warn(self, error: Exception) -> None:
        what = "has gone" if isinstance(error, EOFError) else "does not answer: answers may change their order"
        self._node.log.warning("OS process %s, which hands over, %s", self.predecessor, what)

    def _close_unused(self) -> None:
        unused = [one for one in self._sockets if one.lent is None and not one.name]
        if unused:
            names = ", ".join(map(str, unused))
            self._node.log.warning("no server was made of these sockets, which are closed: %s", names)
            self._discard(unused)

    async def _part(self, channel: Channel) -> None:
        """While the predecessor lives, it has the addresses too, so that a server which is started anew could not bind
        its own: until then its socket is kept."""
        try:
            while True:
                await channel.receive("stopped", "done")
        except EOFError:
            pass  # it has ended
        except Refused as error:
            self._node.log.error("both programs serve now, stop one of them: %s", error)
        self._discard([one for one in self._sockets if not one.name])
        channel.close()

    def _discard(self, sockets: list[Inherited]) -> None:
        self._sockets = [one for one in self._sockets if one not in sockets]
        inherited.discard(sockets)

    def _give_up(self) -> None:
        """Has no more to do with the predecessor. A second time does nothing."""
        if self._parting is not None:
            self._parting.cancel()
        if self._channel is not None:
            self._channel.close()
        self._discard(self._sockets)


async def _say(channel: Channel, word: str, **more: Any) -> None:
    """If the other end is closed, what it has said last is still to be heard."""
    with suppress(EOFError):
        await channel.send(word, **more)
