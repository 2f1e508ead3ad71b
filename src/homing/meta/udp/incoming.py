"""Datagrams that were read, on their way into the receiver's mailbox, and the account of them."""

from __future__ import annotations

from typing import Any, Protocol

from ...datagram import DatagramBatch
from ...datagram.message import MessageUDP
from ...gen.copying import refuse_copy
from ...node.mailbox.lane import COMPILED, STAND_INS
from ...node.messaging.flow import Inlet
from ...node.scheduling.source import Source

if not COMPILED:
    globals().update(STAND_INS)

SHORT = 8192
"""Bytes. In a batch of at most this total length, the longest datagram is not looked for."""


class Matcher(Protocol):
    """Takes the replies to open requests out of the received datagrams, before the rest is delivered.

    drops_rest: the rest is dropped; `take_replies` returns an empty list.
    """

    drops_rest: bool

    def __len__(self) -> int:
        """The number of open requests."""

    def take_replies(self, messages: list[MessageUDP]) -> list[MessageUDP]:
        """Takes the replies. Returns the other messages."""


class Incoming(Source):
    """The datagrams of the last read, until they are in the mailbox or dropped.

    matcher: takes replies out. Datagrams that belong to no request and find no room are then dropped.
    delivered, dropped, dropped_newest, dropped_oldest: counters.
    """

    __slots__ = (
        "_inlet",
        "_matcher",
        "_octets",
        "_received",
        "_room",
        "delivered",
        "dropped",
        "dropped_newest",
        "dropped_oldest",
    )

    __reduce__ = refuse_copy

    _inlet: Inlet

    def __init__(self, matcher: Matcher | None) -> None:
        self._matcher = matcher
        self._received: Any = None
        self._octets = self._room = 0
        self.delivered = self.dropped = self.dropped_newest = self.dropped_oldest = 0

    def put_messages(self) -> None:
        """Puts the received datagrams into the receiver's mailbox."""
        received, self._received = self._received, None
        if received is None:
            return
        if self._matcher is not None:
            received = self._take_replies(self._matcher, received)
            self._octets = -1
        count = len(received)
        if count == 0:
            return
        taken = 0
        try:
            if type(received) is list:
                octets = self._octets
                if octets < 0:
                    octets = octets_of(received)
                taken = self._inlet.put(received, octets, self._longest(received, octets))
            else:
                taken = self._put_batch(received)
        finally:
            try:
                self._account(taken, count - taken)
            except MemoryError:  # interpreted, even a counter takes memory
                self._account(taken, count - taken)

    def _longest(self, messages: list[MessageUDP], octets: int) -> int:
        """Returns the length of the longest of `messages`, or of all together if the receiver is no pool or router."""
        return longest_of(messages) if octets > SHORT and self._inlet.hands_on() else octets

    def _account(self, delivered: int, dropped: int) -> None:
        if delivered:
            self.delivered += delivered
        if dropped:
            self.dropped += dropped

    def _put_batch(self, batch: DatagramBatch) -> int:
        """Puts a batch into the mailbox. Returns how many datagrams went there. Defined by the reader."""
        raise NotImplementedError

    def _take_replies(self, matcher: Matcher, messages: list[MessageUDP]) -> list[MessageUDP]:
        """Returns the messages that belong to no request and find room."""
        rest = matcher.take_replies(messages)
        surplus = len(rest) - self._room
        if surplus <= 0:
            return rest
        self.dropped_newest += surplus
        return rest[: self._room]

    def _count_lone(self, number: int) -> None:
        """Counts `number` more datagrams as delivered; without memory, raises `MemoryError` and counts none."""
        delivered = self.delivered + number
        self._inlet.count(number)
        self.delivered = delivered

    def _drop(self, messages: list[MessageUDP], went: int, surplus: int, newest: bool) -> None:
        """Drops the first `surplus` of `messages`, as the newest or the oldest, and counts them, and `went` more that
        were delivered before and then dropped. Does all of that or, if it raises `MemoryError`, nothing."""
        rest = messages[surplus:]
        octets, delivered = octets_of(rest), self.delivered - went
        if newest:
            self.dropped_newest += surplus
        else:
            self.dropped_oldest += went + surplus
        self.delivered = delivered
        self._received, self._octets = rest, octets


def octets_of(messages: list[MessageUDP]) -> int:
    """Returns the total length of `messages` in bytes."""
    octets = 0
    for message in messages:
        octets += len(message.data)
    return octets


def longest_of(messages: list[MessageUDP]) -> int:
    """Returns the length of the longest of `messages` in bytes."""
    longest = 0
    for message in messages:
        length = len(message.data)
        if length > longest:
            longest = length
    return longest
