"""The link to one peer, in one epoch: from the first hello until anything goes wrong.

Each end chooses an epoch. A batch says both, so it is of this link only if both are right: what was sent before a link
ended is never delivered after it. An end that is not up repeats its `Hello`; it is up as soon as a batch shows that the
peer knows its epoch. A peer whose epoch has changed has ended the link.

    HELLO --the peer knows our epoch--> UP --gap, silence, peer down, other epoch--> CLOSED
      \\------------------------------------------------------------------------------^
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

from ..gen import PID, Alias, LinkClosed, NodeDown, Ref, RemoteNodeInfo, Superseded
from ..node.scheduling.source import Source
from . import wire
from .engine import MAIN, SIGNALS, Peer
from .inbound import Inbound
from .link_outbox import Outbox

if TYPE_CHECKING:
    from ..node.messaging.waiter import Waiter
    from .calling import RemoteCaller
    from .cluster import Cluster

HELLO, UP, CLOSED = "hello", "up", "closed"

TICK = 0.5
"""Seconds between two heartbeats, and between two hellos."""

SILENT_TICKS = 20
"""Heartbeats without a word of the peer after which the engine is asked to connect anew. Only ticks in which this loop
ran are counted, and a peer whose loop is blocked is silent too: so this is far more than `node_timeout`, which is the
engine's."""

ACK_DELAY = 0.02
"""Seconds that an acknowledgement may wait for a batch that goes the same way."""


class Link(Source):
    """The connection to one peer.

    hello: the peer's last one. up: True if messages can be sent. pending: open calls to the peer's processes. callers:
    open calls of the peer's processes. undelivered: what reached nobody here, by cause.
    """

    def __init__(self, cluster: Cluster, peer: Peer, address: str, epoch: int) -> None:
        options = cluster.options
        self.cluster = cluster
        self.peer = peer
        self.address = address
        self.state = HELLO
        self.types = cluster.types
        self.hello: wire.Hello | None = None
        self.since = 0.0
        self.rtt: float | None = None
        self.pending: dict[Waiter, None] = {}
        self.callers: dict[RemoteCaller, None] = {}
        self.targets: list[Any] = []
        self.outbox = Outbox(
            cluster.engine,
            peer,
            cluster.core.loop,
            cluster.core.scheduler,
            cluster.types,
            epoch=epoch,
            window=options.link_window,
            limit=options.outbox_bytes,
            max_message=options.max_message,
            overflow=options.overflow,
        )
        self.inbound = Inbound(cluster.core, self, cluster.handlers, options.exposed)
        self.undelivered = self.inbound.undelivered
        self._inbox: deque[tuple[int, bytes]] = deque()
        self._reading = False
        self._silent = 0
        self._stuck = 0
        self._acked = 0
        self._ack: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ping = 0

    def __repr__(self) -> str:
        return f"<Link to {self.peer.name} {self.state}>"

    @property
    def up(self) -> bool:
        """True if messages can be sent."""
        return self.state is UP

    # --- frames -------------------------------------------------------------------------------------------------

    def post(self, frame: Any, lane: int = MAIN) -> bool:
        """Queues a frame. Returns False if the link is not up, or it was dropped by `overflow`. Raises `NodeBusy`, for
        the lanes SYSTEM and MAIN."""
        return self.state is UP and self.outbox.post(frame, lane)

    def address_of(self, address: Any) -> wire.Address:
        """Returns a PID or alias as frames to this peer have a sender."""
        number = -address.id if isinstance(address, Alias) else address.id
        core = self.cluster.core
        if address.node == core.name and address.creation == core.registry.creation:
            return number
        return (address.node, number, address.creation)

    def reference(self, ref: Ref) -> wire.Address:
        """Returns a reference as frames have it: its number alone if it is of this node or of the peer."""
        core = self.cluster.core
        if ref.node == core.name and ref.creation == core.registry.creation:
            return ref.id
        if ref.node == self.peer.name and ref.creation == self.peer.creation:
            return -ref.id
        return (ref.node, ref.id, ref.creation)

    def ref(self, reference: wire.Address) -> Ref:
        """Returns the reference in a frame of this peer."""
        if isinstance(reference, tuple):
            return Ref(*reference)
        if reference >= 0:
            return Ref(self.peer.name, reference, self.peer.creation)
        core = self.cluster.core
        return Ref(core.name, -reference, core.registry.creation)

    def sender(self, address: wire.Address) -> PID | Alias:
        """Returns the sender in a frame of this peer."""
        return self.inbound.sender(address)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Says hello, and begins the heartbeat."""
        self.say_hello()
        self._timer = self.cluster.core.loop.call_later(TICK, self._tick)

    def say_hello(self) -> None:
        """Sends a hello."""
        self.outbox.post(self.cluster.hello(self), SIGNALS)
        self.outbox.flush()

    def batch(self, lane: int, data: bytes) -> None:
        """Takes a batch of the peer, whatever it is."""
        self._silent = 0
        self._inbox.append((lane, data))
        if not self._reading:
            self._read()

    def _read(self) -> None:
        """Handles the batches that have come, for at most a slice; then the loop polls. The receivers have their turns
        at once, and what they send goes out in one batch: neither needs another iteration of the loop."""
        self._reading = True
        core, outbox, later = self.cluster.core, self.outbox, False
        try:
            while self._inbox and not later:
                outbox.hold()
                try:
                    core.scheduler.run_with(self)
                finally:
                    outbox.flush()
                later = bool(self._inbox) and not core.scheduler.may_go_on()
        finally:
            self._reading = later
        if later:
            core.loop.call_soon(self._read)

    def put_messages(self) -> None:
        """Handles one batch: see `Source`."""
        if self._inbox:
            self._take(*self._inbox.popleft())

    def _take(self, lane: int, data: bytes) -> None:
        found = self.inbound.read_header(data) if 0 <= lane <= MAIN else None
        if found is None:
            self._garbage()
            return
        epoch, peer_epoch, number, acknowledged = found
        outbox = self.outbox
        if peer_epoch != outbox.epoch or epoch != outbox.peer_epoch:
            self._introduce(lane, data, number)
            if peer_epoch == outbox.epoch and epoch == outbox.peer_epoch:
                self._come_up()
            return
        self._come_up()
        if self.state is CLOSED:
            return
        numbers = self.inbound.numbers
        if number <= numbers[lane]:
            self.undelivered["duplicate"] += 1
            return
        if number != numbers[lane] + 1:
            self.fail(f"batch {numbers[lane] + 1} was lost")
            return
        numbers[lane] = number
        if lane != SIGNALS and self.state is not UP:
            self.undelivered["early"] += 1
            return
        outbox.acknowledged(acknowledged)
        if not self.inbound.take(data):
            self._garbage()
        if lane != SIGNALS:
            outbox.received_bytes += len(data)
            self._acknowledge()

    def _introduce(self, lane: int, data: bytes, number: int) -> None:
        """Takes a batch that is of another epoch than this link knows: only a hello counts."""
        if lane != SIGNALS:
            self.undelivered["stale"] += 1
            return
        try:
            frames = wire.DECODE_FRAMES(memoryview(data)[wire.FRAMES_AT :])
        except (wire.MsgspecError, RecursionError):
            self._garbage()
            return
        for frame in frames:
            if isinstance(frame, wire.Hello):
                self.meet(frame, number)
                return

    def meet(self, hello: wire.Hello, number: int) -> None:
        """Takes a hello, which came in the batch with that number of the lane SIGNALS. If the peer has begun another
        epoch, this end does too if it was up. One that was not has sent nothing but hellos: if it began anew as well,
        both ends could do so forever, each because the other one has."""
        outbox = self.outbox
        why = self.cluster.refusal(self.peer, hello)
        if why:
            self.cluster.refuse(self, why)
            return
        if hello.epoch < outbox.peer_epoch:
            self.undelivered["stale"] += 1
            return
        if self.state is not HELLO and hello.epoch != outbox.peer_epoch:
            self.fail("the other end has begun anew", (hello, number))
            return
        self.inbound.numbers[SIGNALS] = number  # hellos may be lost before both ends know each other
        if hello.epoch != outbox.peer_epoch:
            self.hello = hello
            outbox.peer_epoch = hello.epoch
            outbox.max_message = min(outbox.max_message, hello.max_message)
            outbox.window = min(outbox.window, hello.window)
            self.inbound.learn(self.types.reader(hello.types))
        self.say_hello()

    def renew(self, hello: wire.Hello) -> None:
        """Takes a later hello of a link that is up: tags, weight and draining may have changed."""
        self.hello = hello

    def _come_up(self) -> None:
        """The peer has shown that it knows this end's epoch."""
        if self.state is not HELLO or self.hello is None:
            return
        self.state = UP
        self.since = time()
        self.outbox.open = True
        self.cluster.link_up(self)
        self.outbox.flush()

    def _acknowledge(self) -> None:
        outbox = self.outbox
        if outbox.received_bytes - outbox.told_bytes >= outbox.window // 4:
            outbox.acknowledge()
        elif self._ack is None and outbox.received_bytes > outbox.told_bytes:
            self._ack = self.cluster.core.loop.call_later(ACK_DELAY, self._ack_late)

    def _ack_late(self) -> None:
        self._ack = None
        if self.state is UP:
            self.outbox.acknowledge()

    def _tick(self) -> None:
        if self.state is CLOSED:
            return
        self._timer = self.cluster.core.loop.call_later(TICK, self._tick)
        outbox = self.outbox
        self._silent += 1
        if self.state is HELLO:
            self.say_hello()
        else:
            outbox.post(wire.Ping(self.cluster.core.loop.time()), SIGNALS)
            outbox.probe()
        stuck = outbox.in_flight > 0 and outbox.acked_bytes == self._acked
        self._stuck = self._stuck + 1 if stuck else 0
        self._acked = outbox.acked_bytes
        if self._silent >= SILENT_TICKS:
            self._silent = 0
            self.cluster.suspect(self.peer, "nothing has come for 10 s")
            if self.state is UP:
                self.fail("nothing has come for 10 s")
        elif self._stuck >= SILENT_TICKS:
            self.fail("batches were not acknowledged for 10 s")

    def _garbage(self) -> None:
        self.undelivered["garbage"] += 1
        self.cluster.count_garbage(self)

    def fail(self, why: str, hello: tuple[wire.Hello, int] | None = None) -> None:
        """Ends the link by a fault of the connection; a new one begins at once, with another epoch. hello: the peer's
        for that, and the number of its batch."""
        self.cluster.reset(self, why, hello)

    def close(self, why: str) -> None:
        """Ends it. Its calls fail; all else is the cluster's."""
        self.state = CLOSED
        self.outbox.close()
        self._inbox.clear()
        for timer in (self._timer, self._ack):
            if timer is not None:
                timer.cancel()

    def fail_calls(self, cause: str) -> None:
        """Fails the open calls to the peer's processes, and drops those of its processes."""
        calls = self.cluster.core.calls
        for waiter in tuple(self.pending):
            if calls.drop(waiter.ref) is not None:
                self.cluster.core.attempt(waiter.finish, None, NodeDown(waiter.target, self.peer.name, cause))
        for caller in tuple(self.callers):
            caller.drop()

    def reason(self, cause: str, kind: str) -> Exception:
        """Returns why it ended, for the consumers of links and monitors."""
        if kind == "superseded":
            return Superseded()
        return LinkClosed(cause) if kind == "fault" else NodeDown(self.peer.name, self.peer.name, cause)

    def info(self, resets: int) -> RemoteNodeInfo:
        """Returns a snapshot."""
        hello, outbox, inbound = self.hello, self.outbox, self.inbound
        return RemoteNodeInfo(
            name=self.peer.name,
            creation=self.peer.creation,
            up=self.up,
            since=self.since,
            addresses=tuple(hello.addresses) if hello else (self.address,) if self.address else (),
            tags=tuple(hello.tags) if hello else (),
            weight=hello.weight if hello else 1,
            draining=hello.draining if hello else False,
            in_flight=outbox.in_flight,
            waiting=outbox.queued,
            rtt=self.rtt,
            messages_in=inbound.messages,
            messages_out=outbox.messages,
            batches_in=inbound.batches,
            batches_out=outbox.batches,
            bytes_in=inbound.bytes,
            bytes_out=outbox.total_bytes,
            undelivered=dict(inbound.undelivered),
            dropped=outbox.dropped,
            resets=resets,
        )


Handler = Callable[[Link, Any], None]
