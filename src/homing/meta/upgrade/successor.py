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
from ...node.states.moving import Moved, arrive
from . import budgets
from .channel import PROTOCOL, Channel, Refused, close_all, connect, ended, require_linux
from .descriptors import check_room
from .groups import tell_groups
from .handed_connections import ReceivedConnections
from .handed_sockets import budgets_of, servers_of
from .predecessor import ANSWER_TIMEOUT, START_TIMEOUT, STATE_TIMEOUT, Offer
from .states import BadStates, read_untrusted

_END_TIMEOUT = 2.0
"""Seconds from the end of a predecessor's node until its OS process must have ended: some programs continue."""


class TakeOver:
    """Starts a service in the place of one that runs, without losing a datagram. Linux only.

        async with meta.TakeOver(node, "/run/user/1000/dns.takeover"):
            await node.spawn(Service)
        node.ready()
        await node.wait()

    At the beginning of the block the program that listens at the Unix socket `path`, if any, hands over all its UDP
    sockets: same user, same node name. In the block a server that asks for the same address, or `activation`, gets its
    socket instead of binding it, and may send, but does not read: the predecessor continues to serve. At the end of the
    block the predecessor stops reading, handles and answers the datagrams it has read, and stops; then the servers here
    read.
    If the block raises, or this program ends in it, the predecessor continues as before. After the block this program
    listens at `path` for its own successor, to which it hands over in the same way: then its node stops.

    The states that the predecessor keeps under a name (`gen.ProcessOptions.state`) are loaded here by the processes
    that keep theirs under the same name, before the servers read. Until then these are processes like any others.
    Servers with `amplification` continue the budgets of the predecessor's, and the addresses that are validated there
    stay validated.

    Idle TCP connections pass too, if their server has `hand_over_idle`; others are answered and closed by the
    predecessor. Sockets keep their settings: buffers, multicast groups, waiting datagrams. The options of the servers
    here are set when the predecessor has stopped reading. Sockets for which no server was created are closed, and
    named in the log. Port 0 gets a new port. If the predecessor does not answer at the end, or has ended, the servers
    here read anyway. If the predecessor is already stopping, or ends before it has handed over, entering waits for
    its end, so that its addresses can be bound.

    Entering raises `NotAllowed` if the predecessor refuses: it is taken over already, or of another user, node name or
    protocol; if it does not answer or does not end; or if there are not enough file descriptors; `BadOption` if `path`
    cannot be used. Leaving raises `NotAllowed` if the predecessor has waited too long for the block (five minutes), or
    the error of an option that the system refuses to set. Then the predecessor continues, and this program is to stop.

    predecessor: the predecessor's OS process; None if there is none.
    """

    def __init__(self, node: Node, path: str) -> None:
        require_linux()
        self.predecessor: int | None = None
        self._node = node
        self._path = path
        self._channel: Channel | None = None
        self._sockets: list[Inherited] = []
        self._states: list[Moved] = []
        self._connections = ReceivedConnections()
        self._budgets: list[budgets.Moved] = []
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
                raise NotAllowed(f"one program after the other listens at {self._path} and ends before it hands over")
        if channel is not None:
            self.predecessor = channel.pid
            self._node.log.info("taking over %d sockets from OS process %d", len(self._sockets), channel.pid)
            self._node.on_stopped(self._give_up)
        return self

    async def _connect(self) -> Channel | None:
        try:
            return await connect(self._path, ANSWER_TIMEOUT)
        except TimeoutError:  # before `OSError`, of which it is a subclass
            raise NotAllowed(
                f"the program that listens at {self._path}, which is to hand over, does not answer"
            ) from None
        except OSError as error:
            raise BadOption("path", self._path, f"connecting to it failed: {error.strerror or error}") from None

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
            raise BadOption("path", self._path, f"listening there failed: {failure.strerror or failure}") from None

    async def _ask(self, channel: Channel) -> None:
        """Receives the sockets. Raises `EOFError` if the predecessor ends before, also if it was stopping already."""
        if channel.uid != os.geteuid():
            raise NotAllowed(f"OS process {channel.pid}, which listens at {self._path}, is of user {channel.uid}")
        try:
            async with Deadline(ANSWER_TIMEOUT):
                hello = {"states": True, "budgets": True, "connections": True}
                await _say(channel, "hello", protocol=PROTOCOL, node=self._node.name, **hello)
                more = await self._receive(channel)
                while more:
                    more = await self._receive(channel)
        except TimeoutError:
            raise NotAllowed(f"OS process {channel.pid}, which is to hand over, does not answer") from None
        if more is None:
            await self._wait_for_end(channel)

    async def _receive(self, channel: Channel) -> bool | None:
        """Receives some of the sockets. Returns True if there are more; None if the predecessor is stopping instead."""
        message, descriptors = await channel.receive_descriptors("sockets", "stopping")
        try:
            if message["say"] == "stopping":
                close_all(descriptors)
                return None
            left, names = message.get("left"), message.get("names")
            if type(left) is not int or not isinstance(names, list) or len(names) != len(descriptors):
                raise Refused(f"OS process {channel.pid} sent {len(descriptors)} sockets, but no name for each")
            if not self._sockets:
                total = left + len(names)
                check_room(total, 2 * total - len(names), "taking over")
            found = [Inherited(descriptor, str(name)) for descriptor, name in zip(descriptors, names, strict=True)]
        except OSError as error:
            close_all(descriptors)
            raise Refused(f"OS process {channel.pid} sent a non-socket: {error.strerror or error}") from None
        except BaseException:
            close_all(descriptors)
            raise
        for one in found:
            one.handed_over = self._handed_over
        inherited.keep(found)
        self._sockets += found
        return left > 0

    async def _wait_for_end(self, channel: Channel) -> None:
        """Waits until a stopping predecessor has stopped, so that its addresses are free. Then raises `EOFError`."""
        self._node.log.info("OS process %d is stopping: waiting for its end", channel.pid)
        try:
            async with Deadline(START_TIMEOUT):
                await channel.receive("nothing")
        except TimeoutError:
            raise NotAllowed(f"OS process {channel.pid} has not stopped within {START_TIMEOUT:g} s") from None

    async def _let_servers_read(self, channel: Channel) -> None:
        """Lets the servers set their options and read, once the predecessor has stopped reading."""
        message: dict[str, Any] = {}
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await _say(channel, "ready", groups=tell_groups(self._sockets, servers_of(self._node)))
                message = await self._receive_files(channel)
        except (EOFError, TimeoutError) as error:
            self._warn(error)
        states, self._states = self._states, []
        await arrive(internals(self._node).core, states, STATE_TIMEOUT)
        self._count_from(message.get("drops"))
        self._continue_budgets()
        for one in self._sockets:
            one.take_effect()
        self._handed_over.set()
        for one in self._sockets:
            one.handed_over = None
        await asyncio.sleep(0)  # the servers begin to read in this turn of the loop
        closed = self._connections.adopt(self._node, self._sockets)
        if closed:
            self._node.log.warning("%d connections are closed: no server was created for their sockets", closed)
        self._close_unused()
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await _say(channel, "reading")
                await channel.receive("done", "stopped")
        except (EOFError, TimeoutError) as error:
            self._warn(error)
        self._parting = internals(self._node).core.loop.create_task(self._part(channel))

    async def _receive_files(self, channel: Channel) -> dict[str, Any]:
        """Receives "stopped", and returns it; before it states, budgets and connections, if there are any."""
        while True:
            message, descriptors = await channel.receive_descriptors("states", "budgets", "connections", "stopped")
            try:
                if message["say"] == "stopped":
                    return message
                if message["say"] == "connections":
                    self._connections.add(descriptors, message.get("listeners"))
                    descriptors = []
                for descriptor in descriptors:
                    if message["say"] == "states":
                        self._states += read_untrusted(descriptor)
                    else:
                        self._budgets += budgets.read_untrusted(descriptor)
            except (BadStates, budgets.BadBudgets, OSError) as error:
                self._node.log.error(
                    "the %s from OS process %s cannot be read: %s", message["say"], self.predecessor, error
                )
            finally:
                close_all(descriptors)

    def _continue_budgets(self) -> None:
        """Adds the predecessor's budgets to those of the servers here."""
        known, self._budgets = self._budgets, []
        endpoints = [endpoint for state in servers_of(self._node) for endpoint in state.endpoints]
        own = budgets_of(self._sockets, endpoints)
        for number, heard, proven in known:
            if number in own:
                own[number].add_rows(heard, proven)

    def _count_from(self, drops: object) -> None:
        """Continues the predecessor's counters of kernel drops, as it has sent them in `drops`. If it has not, counts
        from now on."""
        for number, one in enumerate(self._sockets):
            told = drops.get(str(number), one.counted) if isinstance(drops, dict) else None
            if type(told) is int:
                one.counted = told
            else:
                with one.borrowed() as sock:
                    one.counted = kernel_drops(sock) or 0

    def _warn(self, error: Exception) -> None:
        what = "has ended" if isinstance(error, EOFError) else "does not answer: answers may change their order"
        self._node.log.warning("OS process %s, which hands over, %s", self.predecessor, what)

    def _close_unused(self) -> None:
        unused = [one for one in self._sockets if one.lent is None and not one.name]
        if unused:
            names = ", ".join(map(str, unused))
            self._node.log.warning("no server was created for these sockets, which are closed: %s", names)
            self._discard(unused)

    async def _part(self, channel: Channel) -> None:
        """Keeps the sockets until the predecessor has ended: while it lives, it holds the addresses too, and a
        restarted server could not bind its own."""
        try:
            while True:
                await channel.receive("stopped", "done")
        except EOFError:
            pass  # the predecessor has ended
        except Refused as error:
            self._node.log.error("both programs serve now, stop one of them: %s", error)
        self._discard([one for one in self._sockets if not one.name])
        channel.close()

    def _discard(self, sockets: list[Inherited]) -> None:
        self._sockets = [one for one in self._sockets if one not in sockets]
        inherited.discard(sockets)

    def _give_up(self) -> None:
        """Breaks off with the predecessor. A second call does nothing."""
        if self._parting is not None:
            self._parting.cancel()
        if self._channel is not None:
            self._channel.close()
        self._connections.close()
        self._discard(self._sockets)


async def _say(channel: Channel, word: str, **more: Any) -> None:
    """Sends a message. If the other end is closed, does nothing: its last messages can still be received."""
    with suppress(EOFError):
        await channel.send(word, **more)
