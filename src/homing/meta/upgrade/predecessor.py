"""Handing all UDP sockets over to a successor: another OS process, which goes on with them. The predecessor's side.

    successor              predecessor
    hello            ->
                     <-    sockets       duplicates of all, with the names they were activated by
    starts                 reads and serves on
    ready            ->
                           reads no more; what it has read is worked off
                     <-    stopped
    reads
    reading          ->
                     <-    done
    serves                 stops

Rule 1: until it has heard "reading", the predecessor can go on as if nothing had been: it does so if the successor
ends, gives up, or takes too long, and then says "refused".
Rule 2: a channel that is closed without "refused" means that the program at the other end is gone.
Rule 3: between "ready" and "reading" nobody reads; what comes waits in the kernel. So the predecessor waits for its own
work only while there is room for what comes.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

from ...datagram.sockets import inherited
from ...datagram.sockets.inherited import Inherited
from ...datagram.sockets.kernel import fullness
from ...gen import HomingError, NotAllowed
from ...node import Node
from ...node.node import internals
from ..udp_server.server import UDPServer, state_of
from ..udp_server.state import ServerState
from .channel import MOST_DESCRIPTORS, PROTOCOL, Channel, identity_of, listen, require_linux

ANSWER_TIMEOUT = 10.0
"""Seconds that either side waits for what the other one does at once, unless its loop is blocked."""

START_TIMEOUT = 300.0
"""Seconds that a successor may take to start."""

SETTLE_TIMEOUT = 0.25
"""Seconds that the predecessor works off what it has read, before the successor may read. After that, or when half of a
socket's buffer is taken, both work at the same time: answers to one peer may then change their order."""

_POLL = 0.001
_ACCEPT_AGAIN = 1.0


class Offer:
    """Lets a successor take over the UDP sockets of `node`: whoever of this user connects to the Unix socket at `path`.
    The node stops when it has. It ends with the node, or by `close`."""

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
        """Nobody can take over any more. A second time does nothing."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock.fileno())
        # While the socket is open its file has a number of its own: this is not the file of a program that came after.
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
        except OSError as error:  # mostly that there is no descriptor left: who connects waits on
            self._node.log.warning("a successor cannot be heard: %s", error.strerror or error)
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
            if self._busy:
                raise NotAllowed("another one is taking over already")
            self._busy = True
            try:
                await self._hand_over(channel)
            finally:
                self._busy = False
        except (EOFError, TimeoutError, HomingError, OSError) as error:
            why = {EOFError: "it has gone", TimeoutError: "it took too long"}.get(type(error), str(error))
            self._node.log.warning("OS process %d has not taken over: %s", channel.pid, why)
            with suppress(EOFError, OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    await channel.send("refused", why=why)
        finally:
            channel.close()

    async def _hand_over(self, channel: Channel) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await self._check(channel)
        sockets = _Sockets(self._node)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await sockets.send(channel)
            self._node.log.info("OS process %d is taking over %d sockets", channel.pid, len(sockets.all))
            async with asyncio.timeout(START_TIMEOUT):
                await channel.receive("ready")
            sockets.leave()
            await self._settle(sockets)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await channel.send("stopped")
                await channel.receive("reading")
        except BaseException:
            sockets.take_back()
            raise
        self._identity = None  # the successor replaces the file, at this very moment: it is not ours to remove any more
        self._node.log.info("OS process %d has taken over", channel.pid)
        internals(self._node).service.hand_over(channel.pid)
        self._node.on_stopped(sockets.forget)
        self._node.stop_soon()
        with suppress(EOFError):
            await channel.send("done")
            await asyncio.Event().wait()  # the channel stays open as long as this program may have the sockets

    async def _check(self, channel: Channel) -> None:
        hello, _ = await channel.receive("hello")
        if hello.get("protocol") != PROTOCOL:
            raise NotAllowed(
                f"it speaks protocol {hello.get('protocol')!r}, not {PROTOCOL}; "
                "stop the one that runs and start the new one"
            )
        if hello.get("node") != self._node.name:
            raise NotAllowed(f"its node is {hello.get('node')!r}, this one is {self._node.name!r}")
        if self._node.info().state != "running":
            raise NotAllowed("this node is stopping")

    async def _settle(self, sockets: _Sockets) -> None:
        """Returns when all that was read is worked off, or there is no more time for it."""
        end = self._loop.time() + SETTLE_TIMEOUT
        while self._loop.time() < end and (await internals(self._node).stopping.busy() or sockets.waiting()):
            if sockets.fullness() > 0.5:
                break
            await asyncio.sleep(_POLL)


class _Sockets:
    """The sockets to hand over: those of all UDP servers of a node, and those that the program was started with. They
    are kept open meanwhile, so that a server that is started anew finds its own again: its address is in use."""

    def __init__(self, node: Node) -> None:
        self._node = node
        sockets = [state.endpoint.sock for state in self._servers()]
        self.all = [*inherited.kept(), *(_entry(sock) for sock in sockets if inherited.lender_of(sock) is None)]
        inherited.keep(self.all)
        self._forgotten = False

    def _servers(self) -> list[ServerState]:
        """Those that are open, but none of a test's network that only is in this program."""
        metas = internals(self._node).core.metas.values()
        states = [state_of(meta.behavior) for meta in metas if isinstance(meta.behavior, UDPServer)]
        return [one for one in states if not one.endpoint.closed and isinstance(one.endpoint.sock, socket.socket)]

    def _handed(self) -> list[ServerState]:
        """The servers that have one of these sockets now."""
        lent = [one.lent for one in self.all]
        return [state for state in self._servers() if state.endpoint.sock in lent]

    async def send(self, channel: Channel) -> None:
        """Sends all of them."""
        for start in range(0, max(1, len(self.all)), MOST_DESCRIPTORS):
            part = self.all[start : start + MOST_DESCRIPTORS]
            left = len(self.all) - start - len(part)
            await channel.send(
                "sockets",
                names=[one.name for one in part],
                left=left,
                descriptors=[one.descriptor for one in part],
            )

    def leave(self) -> None:
        """Reads no more from them, also with servers that are started from here on."""
        handed_over = asyncio.Event()
        for one in self.all:
            one.handed_over = handed_over
        for state in self._handed():
            state.suspend()

    def waiting(self) -> bool:
        """True while something that was read is still to be delivered."""
        return any(state.endpoint.backend.waiting for state in self._handed())

    def fullness(self) -> float:
        """The part of the fullest receive buffer that is taken, from 0 to 1."""
        return max((fullness(state.endpoint.sock) for state in self._handed()), default=0.0)

    def take_back(self) -> None:
        """Goes on as if nothing had been."""
        if self._node.info().state == "running":
            for state in self._handed():
                state.resume()
        for one in self.all:
            if one.handed_over is not None:
                one.handed_over.set()
                one.handed_over = None
        self.forget()

    def forget(self) -> None:
        """They are kept no longer than without this. A second time does nothing."""
        if not self._forgotten:
            self._forgotten = True
            inherited.discard(self.all)


def _entry(sock: socket.socket) -> Inherited:
    found = Inherited(os.dup(sock.fileno()), "")
    found.lent = sock
    return found
