"""The base of the backends: their interface, and their counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen.copying import refuse_copy

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..batch import Columns
    from ..failures import Failures
    from ..message import MessageUDP
    from ..policy.conditions import Condition
    from .contract import Pooled
    from .holes import Holes

    Retry = Callable[[int, int], bool]


class Backend:
    """Receives and sends on one non-blocking socket.

    gro: the kernel may deliver trains of datagrams that it has joined (udp(7) UDP_GRO).
    gso: runs of datagrams to one peer are passed to the kernel as one (udp(7) UDP_SEGMENT).
    waiting: datagrams that were read with others but not delivered: the next `receive` begins with them.
    keeps: it keeps what one call has read too much for the next one, so a read may look for more than is wanted.
    more: True if the last read brought something, so that there may be more. full: it brought all that it had room for.
    lost: datagrams that were read but lost, because memory ran out.
    left: datagrams that were `waiting` when this was closed.
    cut_trains: trains that a program on the socket had cut, see `Statistics`.
    admission: decides which datagrams become messages. None: all.
    holes: notes where datagrams are missing. None: nobody asks.
    budget: records the bytes that came from each peer. None: nothing is recorded.
    retry: called when a datagram could not be sent, with the errno and the number of retries so far. Returns True to
        send it again. None: never.
    """

    name = ""
    gro = gso = False
    admission = None  # type: Any
    budget = None  # type: Any

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.waiting = 0
        self.keeps = False
        self.more = self.full = False
        self.packets_in = self.bytes_in = self.truncated = self.cut_trains = self.lost = self.left = 0
        self.packets_out = self.bytes_out = 0
        self.retry: Retry | None = None
        self.holes: Holes | None = None

    def receive(self, limit: int, reads: int, id: Any, octets: int = 0x7FFFFFFF) -> list[MessageUDP]:
        """Returns up to `limit` messages, from at most `reads` reads of the kernel; an empty list if no datagram is
        waiting or none was admitted. Stops after the message with which the total reaches `octets` bytes.

        Raises `OSError` if the system reports an error, after all datagrams read before it were returned.
        """
        raise NotImplementedError

    def receive_lone(self, id: Any, reads: int) -> MessageUDP | None:
        """Receives a datagram that is the only one of at most `reads` reads, at less cost than `receive`. Returns None
        if there is none, or if there are more: these are `waiting` for `receive` then. Raises `OSError` like it."""
        raise NotImplementedError

    def receive_columns(self, reads: int) -> Columns | None:
        """Returns the datagrams of at most `reads` reads, without making messages; None if none is waiting. Raises
        `OSError`."""
        raise NotImplementedError

    def receive_pooled(self, limit: int, get: Callable[[], Any], put: Callable[[Any], None]) -> list[Pooled]:
        """Receives like `receive`, each datagram into its own buffer from `get`. Returns unused buffers by `put`."""
        raise NotImplementedError

    def send(self, message: MessageUDP) -> int:
        """Sends one datagram and returns its length. Raises `BlockingIOError` if it has to wait, `OSError` if it fails,
        and other exceptions for an invalid address or invalid data."""
        raise NotImplementedError

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        """Sends `messages` in order and returns how many are done; the others have to wait. Adds those that failed to
        `failures`."""
        raise NotImplementedError

    def send_lone(self, message: MessageUDP) -> bool:
        """Sends one datagram, at less cost than `send_many`, if there is nothing special about it. Returns False if it
        was not sent, for whatever reason: then `send_many` sends it, or says why not."""
        return False

    def send_columns(self, addresses: list[Any], places: Any, lengths: Any, data: bytes) -> int:
        """Sends datagrams whose payloads stand one behind the other in `data`, in order, as long as there is nothing
        special about them. Returns how many: `send_many` is to send the others, or to say why not.

        places: which of `addresses` each has, an array of uint16; None: all have the first. lengths: an array of
        uint32.
        """
        return 0

    def join(self, sock: socket.socket) -> None:
        """Lets the kernel join datagrams, if it can."""

    def judge(self, condition: Condition) -> Any:
        """Returns the verdict of a condition, for `admission.verdict`: the condition itself, or one compiled."""
        return condition

    def split(self, sock: socket.socket) -> bool:
        """Stops the kernel's joining. Returns False if joined datagrams may still wait there: call `drain` first."""
        return True

    def drain(self, reads: int) -> bool:
        """Reads the datagrams that wait in the kernel, to be delivered later. Returns False if `reads` reads were not
        enough. Raises `OSError`."""
        return True

    def fit(self, sock: socket.socket, buffer_size: int, gso: bool, info: bool) -> None:
        """Changes the arguments of `open_backend`. Datagrams read before are still delivered, with the infos they
        have."""

    def close(self) -> None:
        """Frees the memory of the backend. The socket may be closed afterwards."""
