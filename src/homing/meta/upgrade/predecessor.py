"""Handing all UDP sockets over to a successor: another OS process, which continues with them. The predecessor's side.

    successor              predecessor
    hello            ->
                     <-    sockets       duplicates of all, with the names they were activated by, and how many they are
    starts                 reads and serves on
    ready            ->                   with the multicast groups that it will join, by the number of the socket
                           stops reading, and handles the datagrams that it has read; holds the processes
                           whose state is kept
                     <-    states        those that have a name, in a file; only if "hello" has asked for them
                     <-    connections   idle TCP connections, if "hello" has asked for them; they are read no more
                     <-    budgets       the amplification budgets of the servers; in the same way
                     <-    stopped       with how many datagrams the kernel has dropped at each socket so far
    sets its options, reads
    reading          ->
                     <-    done
    serves                 stops

Rule 1: until the predecessor has received "reading", it can continue as before: it does so if the successor ends, gives
up, or takes too long, and then says "refused".
Rule 2: a channel that is closed without "refused" means that the program at the other end has ended.
Rule 3: a predecessor that is stopping already says "stopping" in the place of "sockets", and closes the channel when it
has stopped. If the channel is closed before all sockets have come, or after "stopping", there is no predecessor.
Rule 4: both have the same sockets, so a setting made by one is set for both. The successor changes nothing before
"stopped". If it then fails, the predecessor restores the settings, and leaves the groups that were joined: the system
does not list them, so the successor has sent the list before.
Rule 5: between "ready" and "reading" nobody reads; datagrams wait in the kernel. So the predecessor waits for its own
work only while the kernel has room for more.
Rule 6: from "states" on, the processes whose states these are handle no message, so that nothing is done twice and
nothing is lost. They continue if the successor fails.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ...gen import HomingError, NotAllowed
from ...node import Node
from ...node.deadline import Deadline
from ...node.node import internals
from ...node.states.moving import Leaving
from . import budgets
from .channel import MOST_CONNECTIONS, PROTOCOL, Channel, identity_of, listen, require_linux
from .handed_connections import HandedConnections
from .handed_sockets import HandedSockets
from .states import within, write

ANSWER_TIMEOUT = 10.0
"""Seconds that either side waits for a step that the other side does at once, unless its loop is blocked."""

START_TIMEOUT = 300.0
"""Seconds that a successor may take to start."""

SETTLE_TIMEOUT = 0.25
"""Seconds that the predecessor may handle the datagrams it has read before the successor may read. After that, or when
half of a socket's buffer is full, both work at the same time: answers to one peer may then change their order."""

STATE_TIMEOUT = 1.0
"""Seconds for which the predecessor waits until the processes whose state is kept have handled the messages that wait
there and dumped their states, and the successor until these are loaded. Meanwhile datagrams wait in the kernel."""

_FULL, _FULL_WITH_STATES = 0.5, 0.9
"""How full a receive buffer may be while the predecessor handles what it has read. With states to hand over, what it
handles later is lost, as datagrams are for which the buffer has no room."""

_POLL = 0.001
_ACCEPT_AGAIN = 1.0


class Offer:
    """Lets a successor, a program of the same user that connects to the Unix socket at `path`, take over the UDP
    sockets of `node`. The node stops when the successor has them. The offer ends with the node, or by `close`."""

    def __init__(self, node: Node, path: str) -> None:
        require_linux()
        self.path = path
        self._node = node
        self._sock = listen(path)
        self._identity: tuple[int, int] | None = identity_of(path)
        self._loop = asyncio.get_running_loop()
        self._listen()
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = False
        node.on_stopped(self.close)

    def _listen(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Ends the offer. A second call does nothing."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock.fileno())
        # While the socket is open, no other file has its number: so this is not the file of a later program.
        if self._identity is not None and identity_of(self.path) == self._identity:
            with suppress(OSError):
                os.unlink(self.path)
        self._sock.close()
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        try:
            channel = Channel(self._sock.accept()[0])
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:  # mostly that no descriptor is left: the program that connects continues waiting
            self._node.log.warning("a successor cannot be accepted: %s", error.strerror or error)
            self._loop.remove_reader(self._sock.fileno())
            self._loop.call_later(_ACCEPT_AGAIN, self._listen)
            return
        task = self._loop.create_task(self._serve(channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, channel: Channel) -> None:
        try:
            if channel.uid != os.geteuid():
                raise NotAllowed(f"it belongs to user {channel.uid}")
            if len(self._tasks) > MOST_CONNECTIONS:
                raise NotAllowed("too many programs ask for it at once")
            async with Deadline(ANSWER_TIMEOUT):
                hello = await self._check(channel)
            if self._busy:
                raise NotAllowed("another program is taking over already")
            if self._node.info().state != "running":
                await self._let_wait(channel)
                return
            self._busy = True
            try:
                await self._hand_over(channel, hello)
            finally:
                self._busy = False
        except (EOFError, TimeoutError, HomingError, OSError) as error:
            why = {EOFError: "it has ended", TimeoutError: "it took too long"}.get(type(error), str(error))
            self._node.log.warning("OS process %d has not taken over: %s", channel.pid, why)
            with suppress(EOFError, OSError, TimeoutError):
                async with Deadline(ANSWER_TIMEOUT):
                    await channel.send("refused", why=why)
        finally:
            channel.close()

    async def _let_wait(self, channel: Channel) -> None:
        """Tells the successor that this node is stopping. The channel stays open until the node has stopped: then its
        addresses are free."""
        async with Deadline(ANSWER_TIMEOUT):
            await channel.send("stopping")
        with suppress(EOFError):
            await channel.receive("nothing")

    async def _hand_over(self, channel: Channel, hello: dict[str, Any]) -> None:
        sockets = HandedSockets(self._node)
        leaving = Leaving(internals(self._node).core)
        connections: HandedConnections | None = None
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await sockets.send(channel)
            self._node.log.info("OS process %d is taking over %d sockets", channel.pid, len(sockets.all))
            async with Deadline(START_TIMEOUT):
                groups = (await channel.receive("ready")).get("groups")
            sockets.leave(groups)
            keeps = hello.get("states") is True and leaving.any
            await self._settle(sockets, _FULL_WITH_STATES if keeps else _FULL)
            if keeps:
                await self._send_states(channel, leaving, sockets)
            if hello.get("connections") is True:
                connections = HandedConnections(self._node, sockets.all)
                async with Deadline(ANSWER_TIMEOUT):
                    await connections.send(channel)
            if hello.get("budgets") is True:
                await self._send_budgets(channel, sockets)
            async with Deadline(ANSWER_TIMEOUT):
                await channel.send("stopped", drops=sockets.freeze())
                await channel.receive("reading")
        except BaseException:
            sockets.take_back()
            if connections is not None:
                connections.take_back()
            leaving.go_on()
            raise
        leaving.end()
        if connections is not None:
            connections.end()
        self._identity = None  # the successor is replacing the file just now: `close` must not remove it any more
        self._node.log.info("OS process %d has taken over", channel.pid)
        internals(self._node).service.hand_over(channel.pid)
        self._node.on_stopped(sockets.forget)
        self._node.stop_soon()
        with suppress(EOFError):
            await channel.send("done")
            await asyncio.Event().wait()  # the channel stays open as long as this program may still have the sockets

    async def _send_states(self, channel: Channel, leaving: Leaving, sockets: HandedSockets) -> None:
        """Sends the states that are kept under a name, in one file. A file that cannot be made is logged, and the
        successor starts clean."""
        end = self._loop.time() + STATE_TIMEOUT
        while sockets.waiting() and self._loop.time() < end:  # for room in the mailboxes of these processes
            await asyncio.sleep(_POLL)
        states, left_out = within(await leaving.dump(STATE_TIMEOUT))
        if left_out:
            self._node.log.error("the states of %s are too large to be handed over", ", ".join(left_out[:10]))
        if states and await self._send_file(channel, "states", partial(write, states)):
            self._node.log.info("handed the states of %d processes over", len(states))

    async def _send_budgets(self, channel: Channel, sockets: HandedSockets) -> None:
        """Sends the amplification budgets, in one file. If it cannot be made, the successor begins with empty ones."""
        moved = budgets.rows_of(sockets.budgets())
        if moved:
            await self._send_file(channel, "budgets", partial(budgets.write, moved))

    async def _send_file(self, channel: Channel, say: str, make: Callable[[], int]) -> bool:
        """Sends the file that `make` returns, and closes it. Logs that it cannot be made, and returns False."""
        try:
            descriptor = make()
        except OSError as error:
            self._node.log.error("no %s can be handed over: %s", say, error.strerror or error)
            return False
        try:
            async with Deadline(ANSWER_TIMEOUT):
                await channel.send(say, descriptors=[descriptor])
        finally:
            os.close(descriptor)
        return True

    async def _check(self, channel: Channel) -> dict[str, Any]:
        """Returns the other program's "hello". Raises `NotAllowed` unless this program can be taken over by it."""
        hello = await channel.receive("hello")
        if hello.get("protocol") != PROTOCOL:
            raise NotAllowed(
                f"it speaks protocol {hello.get('protocol')!r}, not {PROTOCOL}; "
                "stop the running program and start the new one"
            )
        if "processes" in hello:
            raise NotAllowed(
                "one OS process runs under this name, not several: leave --processes out, or stop it first"
            )
        if hello.get("node") != self._node.name:
            raise NotAllowed(f"its node is {hello.get('node')!r}, this one is {self._node.name!r}")
        return hello

    async def _settle(self, sockets: HandedSockets, full: float) -> None:
        """Returns when all datagrams that were read are handled, the time for that is over, or a receive buffer is
        `full`, from 0 to 1."""
        end = self._loop.time() + SETTLE_TIMEOUT
        while self._loop.time() < end and (await internals(self._node).stopping.busy() or sockets.waiting()):
            if sockets.fullness() > full:
                break
            await asyncio.sleep(_POLL)
