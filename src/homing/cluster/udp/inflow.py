"""The far end of a flow: datagrams of a UDP server of another node, into a mailbox of this one.

As at the socket, they wait while the mailbox is full or there is no receiver: here, up to the flow's window.
"""

from __future__ import annotations

import socket
from array import array
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...datagram.batch import DatagramBatch
from ...datagram.message import MessageUDP
from ...gen import Target
from ...meta.udp.batch_entry import BatchEntry
from ...meta.udp.incoming import longest_of, octets_of
from ...node.messaging.flow import Inlet
from .columns import BadColumns, unpack

if TYPE_CHECKING:
    from ..datagram_frames import Datagrams
    from .edge import Edge
    from .exchange import Exchange


class Inflow:
    """The datagrams of one flow.

    edge: the stand-in for the server.
    taken: datagrams put into the receiver's mailbox, or dropped, since the flow was opened.
    waiting: datagrams for which there was no room yet.
    """

    __slots__ = (
        "_ending",
        "_exchange",
        "_held",
        "_in_batch",
        "_inlet",
        "_most",
        "edge",
        "link",
        "number",
        "receiver",
        "taken",
        "told",
        "waiting",
    )

    def __init__(self, exchange: Exchange, edge: Edge, number: int, to: Target, limits: tuple[int, int, int]) -> None:
        high, low, most_bytes = limits
        self._exchange = exchange
        self.edge = edge
        self._held: deque[list[MessageUDP]] = deque()
        self._in_batch = self._ending = False
        self._most = 2 * high
        self.link = edge.link
        self.receiver = to
        self._inlet: Inlet = exchange.core.make_inlet(edge, to, high, low, self._go_on, "pause", most_bytes)
        self.number = number
        self.taken = self.told = self.waiting = 0

    def take(self, frame: Datagrams) -> None:
        """Delivers the datagrams of a frame, or keeps them until there is room. Raises only `BadColumns`."""
        messages = unpack(self.edge.mark(frame.mark), frame)
        missing = frame.first - self.taken - self.waiting
        if missing < 0:
            raise BadColumns("the datagrams were numbered before")
        if missing:  # dropped on the way by `overflow`
            self._exchange.count("lost_on_the_way", missing)
            self.waiting += missing
            self._done(missing)
        if self.waiting + len(messages) > self._most:
            raise BadColumns("more datagrams than the window allows")
        self._held.append(messages)
        self.waiting += len(messages)
        if self.waiting == len(messages):
            self._go_on()

    def _go_on(self) -> None:
        inlet = self._inlet
        while self._held and not self._in_batch:
            room = inlet.room()
            if room <= 0:
                break
            messages = self._held.popleft()
            if inlet.takes_batches():
                self._put_batch(messages)
                continue
            if len(messages) > room:
                self._held.appendleft(messages[room:])
                messages = messages[:room]
            size = octets_of(messages)
            longest = longest_of(messages) if inlet.hands_on() else size
            put = inlet.put(messages, size, longest)
            if put < len(messages):
                self._exchange.count("lost_receiver", len(messages) - put)
            self._done(len(messages))

    def _done(self, count: int) -> None:
        self.waiting -= count
        self.taken += count
        self._exchange.owe_credit(self)
        if self._ending and not self.waiting:
            self._exchange.flow_ended(self)

    def _put_batch(self, messages: list[MessageUDP]) -> None:
        """Puts a batch into the mailbox. It has room when that batch has ended."""
        self._in_batch = True
        entry = BatchEntry(batch_of(messages), partial(self._batch_ended, len(messages)))
        if not self._inlet.put_entry(entry):
            self._exchange.count("lost_receiver", len(messages))

    def _batch_ended(self, count: int) -> None:
        self._exchange.on_loop(self._next_batch, count)

    def _next_batch(self, count: int) -> None:
        self._in_batch = False
        self._done(count)
        self._go_on()

    def end_after_rest(self) -> None:
        """Ends the flow once all that waits was delivered."""
        self._ending = True
        if not self.waiting:
            self._exchange.flow_ended(self)

    def close(self) -> int:
        """Ends the flow. Returns how many datagrams waited, which are dropped."""
        self._inlet.close()
        waiting, self.waiting = self.waiting, 0
        self._held.clear()
        return waiting


def batch_of(messages: list[MessageUDP], done: Callable[[], None] = lambda: None) -> DatagramBatch:
    """Returns a batch of datagrams, of one server, for a receiver with `handle_datagrams`."""
    lengths = array("i", [len(message.data) for message in messages])
    offsets = array("i")
    at = 0
    for length in lengths:
        offsets.append(at)
        at += length
    addresses = [message.addr for message in messages]
    wide = any(len(address) == 4 for address in addresses if type(address) is tuple)
    known: dict[Any, bytes] = {}
    for address in addresses:
        if address not in known:
            known[address] = _packed(address, wide)
    infos: list[Any] = [message.info for message in messages]
    return DatagramBatch(
        messages[0].id,
        (
            b"".join([message.data for message in messages]),
            done,
            at,
            offsets.tobytes(),
            lengths.tobytes(),
            b"".join([known[address] for address in addresses]),
            array("H", [address[1] if type(address) is tuple else 0 for address in addresses]).tobytes(),
            list(range(len(messages))),
            addresses,
            infos if any(info is not None for info in infos) else [],
            [number for number, message in enumerate(messages) if message.truncated],
        ),
    )


def _packed(address: Any, wide: bool) -> bytes:
    """Returns a host in network order; zeros for an address that has none."""
    if type(address) is tuple:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            packed = socket.inet_pton(family, address[0].partition("%")[0])
        except OSError:
            return bytes(16 if wide else 4)
        if len(packed) == (16 if wide else 4):
            return packed
        return bytes(10) + b"\xff\xff" + packed if wide else bytes(4)
    return bytes(16 if wide else 4)
