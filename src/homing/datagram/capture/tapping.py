"""The running tap of one server. Each of its sockets has an `Ear`, which the endpoint and the send queue tell what
happens to datagrams.

Records are collected until the loop's next iteration, so that a datagram that is dropped as soon as it has come is one
record, and so that the thread that writes is woken once for all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..address import Address
from ..batch import DatagramBatch
from ..failures import Failures, name_of
from ..message import MessageUDP, PacketInfo
from .blocks import AFTER_WAITING, INBOUND, OUTBOUND
from .options import Sampler, Tap
from .writer import Interface, Record, Writer

_UNKNOWN: Address = ("0.0.0.0", 0)  # noqa: S104 - nothing is bound: the address is not known

_CAUSES = {"SendQueueFull": "send_queue", "ReplyLimited": "reply_limit", "AmplificationLimited": "amplification"}
"""The causes of drops that have other names in the statistics than the classes of their errors."""

_MOST_SENDERS = 4096
"""Most datagrams whose sender is known while they wait: more than a send queue holds by default."""


class TapState(NamedTuple):
    """The state of a tap, as an inspection shows it.

    path: of the file. state: "opening", "writing" or "ended".
    recorded, missed: datagrams in the file, and those that were to be there: the disk was too slow, or the tap ended.
    bytes: of the file. error: why the tap has ended by itself, or "".
    """

    path: str
    state: str
    recorded: int
    missed: int
    bytes: int
    error: str


class Tapping:
    """Records what its ears report, as `options` say, until `close`, or until the file is full or fails.

    program, comment: what the file says of the program. node: as in `Tap.path`.
    In virtual time nothing is missed: the loop waits for the disk, as no time passes meanwhile.

    finished: called on the loop when the file is closed, with the error if the tap has ended by itself, else with "".
    """

    def __init__(
        self,
        options: Tap,
        loop: asyncio.AbstractEventLoop,
        *,
        node: str,
        program: Callable[[], str],
        comment: str,
        finished: Callable[[Tapping, str], None],
    ) -> None:
        self.options = options
        self.path = options.path_for(node)
        self._sampler = Sampler(options.sample)
        self._loop = loop
        self._virtual = bool(getattr(loop, "time_is_virtual", False))
        self._finished = finished
        self._fresh: list[Record] = []
        self._places: dict[int, tuple[Any, int]] = {}
        self._flushing = False
        self._lost = self._missed = 0
        self._closed = False
        self._writer = Writer(options, self.path, program, comment, self._writer_over)

    @property
    def state(self) -> TapState:
        """The state now."""
        writer = self._writer
        word = "ended" if writer.ended.is_set() else "writing" if writer.opened.is_set() else "opening"
        return TapState(self.path, word, writer.written, self._missed + writer.missed, writer.bytes, writer.error)

    def close(self) -> None:
        """Ends the tap: what was recorded is written, and then the file closed. Returns at once."""
        if not self._closed:
            self.flush()
            self._closed = True
            self._writer.close()
            if self._virtual:
                self._writer.wait()

    def _writer_over(self) -> None:
        """Called in the writer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._ended)
        except RuntimeError:
            pass  # the loop is closed, and with it the socket

    def _ended(self) -> None:
        self._closed = True
        self._finished(self, self._writer.error)

    # --- for its ears -------------------------------------------------------------------------------------

    def now(self) -> int:
        """Returns the time in nanoseconds since 1970, or of a virtual clock."""
        return round(self._loop.time() * 1e9) if self._virtual else time.time_ns()

    @property
    def idle(self) -> bool:
        """True if nothing was recorded in this iteration of the loop."""
        return not self._flushing

    @property
    def takes(self) -> Callable[[], bool]:
        """Returns True for a datagram that is to be recorded."""
        return self._sampler.takes

    def add(self, record: Record, message: object) -> None:
        """Records a datagram. message: what `dropped` may name until the next iteration of the loop, or None."""
        if message is not None:
            self._places[id(message)] = message, len(self._fresh)
        self._fresh.append(record)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def rename(self, before: object, message: object) -> None:
        """Lets `dropped` name `message` for the datagram that was added with `before`, if it was."""
        place = self._places.pop(id(before), None)
        if place is not None:
            self._places[id(message)] = message, place[1]

    def dropped(self, message: object, comment: str) -> bool:
        """Changes the comment of a datagram that has just come. Returns False if its record has left."""
        place = self._places.get(id(message))
        if place is None:
            return False
        self._fresh[place[1]] = self._fresh[place[1]]._replace(comment=comment)
        return True

    def miss(self) -> None:
        """Counts a datagram that cannot be recorded, as memory has run out."""
        self._lost += 1
        self._missed += 1

    def flush(self) -> None:
        """Passes the records to the thread that writes them. While that is too slow, they are counted instead."""
        self._flushing = False
        records, self._fresh = self._fresh, []
        self._places.clear()
        if not records:
            return
        if self._lost:
            records[0] = records[0]._replace(missed=records[0].missed + self._lost)
        if not self._closed and self._writer.put(records, waits=self._virtual):
            self._lost = 0
        else:
            self._lost += len(records)
            self._missed += len(records)


class Ear:
    """Records the datagrams of one socket, for `tapping`.

    local: returns the socket's address. receiver: returns the process that gets the datagrams, for the comments.
    kernel_drops: returns how many datagrams the kernel has dropped at this socket, or None.
    """

    def __init__(
        self,
        tapping: Tapping,
        interface: Interface,
        local: Callable[[], Address],
        receiver: Callable[[], str],
        kernel_drops: Callable[[], int | None],
    ) -> None:
        self.tapping = tapping
        self.interface = interface
        interface.kernel_drops = kernel_drops()
        self._kernel_drops = kernel_drops
        self._local = local
        self._receiver = receiver
        self._senders: dict[int, tuple[Any, str]] = {}

    # --- what comes ---------------------------------------------------------------------------------------

    def came(self, message: MessageUDP, to: str) -> None:
        """A datagram has come. to: its receiver, see `receiver`."""
        if self.tapping.takes():
            self._record_in(message, message.addr, message.data, message.info, f"in, for {to}", message.truncated)

    def came_pooled(self, buffer: object, data: bytes, address: Address, truncated: bool, info: Any) -> None:
        """A datagram has come into a pooled buffer; `became` follows."""
        if self.tapping.takes():
            self._record_in(buffer, address, data, info, f"in, for {self._receiver()}", truncated)

    def became(self, buffer: object, message: MessageUDP) -> None:
        """A datagram that has come into a pooled buffer is a message now."""
        self.tapping.rename(buffer, message)

    def came_together(self, batch: DatagramBatch) -> None:
        """Datagrams have come as a batch."""
        comment, takes, cut = f"in, for {self._receiver()}", self.tapping.takes, set(batch.cut)
        for number in range(len(batch)):
            if takes():
                start = batch.offsets[number]
                data = batch.buffer[start : start + batch.lengths[number]]
                self._record_in(None, batch.address(number), data, batch.info(number), comment, number in cut)

    def receiver(self) -> str:
        """Returns the process that gets the datagrams, as the comments name it."""
        return self._receiver()

    def refresh(self) -> None:
        """Notes how many datagrams the kernel has dropped, for the end of the file."""
        self.interface.kernel_drops = self._kernel_drops()

    def refused(self, address: Address, data: Any, info: Any, cause: str) -> None:
        """A datagram that has come does not become a message."""
        if self.tapping.takes():
            self._record_in(None, address, data, info, f"dropped in: {cause}, for {self._receiver()}")

    def dropped(self, message: MessageUDP, cause: str, process: str = "", *, waited: bool = True) -> None:
        """A datagram that has come was dropped on its way to a process. If its record is already being written, it
        gets a second one. waited: False if it has come just now; then it is recorded by now, if it is in the sample."""
        comment = f"dropped in: {cause}, for {process or self._receiver()}"
        if not self.tapping.dropped(message, comment) and waited and self.tapping.takes():
            self._record_in(None, message.addr, message.data, None, comment + AFTER_WAITING)

    def _record_in(
        self, message: object, address: Address, data: Any, info: Any, comment: str, truncated: bool = False
    ) -> None:
        try:
            self._add_in(message, address, data, info, f"{comment}, truncated" if truncated else comment)
        except MemoryError:  # the datagram itself must not be lost
            self.tapping.miss()

    def _add_in(self, message: object, address: Address, data: Any, info: Any, comment: str) -> None:
        local = self._local_of(info)
        missed = self._kernel_drops_since() if self.tapping.idle else 0
        if missed:
            comment += f", {missed} dropped by the kernel before"
        at = info.timestamp if type(info) is PacketInfo else None
        record = Record(
            interface=self.interface,
            at=self.tapping.now() if at is None else at,
            source=_safe(address),
            destination=local,
            data=_bytes(data),
            direction=INBOUND,
            comment=comment,
            missed=missed,
        )
        self.tapping.add(record, message)

    def _kernel_drops_since(self) -> int:
        now, before = self._kernel_drops(), self.interface.kernel_drops
        self.interface.kernel_drops = now
        return 0 if now is None or before is None else max(0, now - before)

    # --- what goes ----------------------------------------------------------------------------------------

    def note_sender(self, message: Any, sender: Any) -> None:
        """Notes which process has sent a datagram."""
        if len(self._senders) >= _MOST_SENDERS:  # those of datagrams that were sent in another form are left over
            del self._senders[next(iter(self._senders))]
        self._senders[id(message)] = message, str(sender)

    def sent(self, message: MessageUDP) -> None:
        """The kernel has taken a datagram."""
        self._record_out(message, "out")

    def not_sent(self, message: Any, error: Exception | str) -> None:
        """A datagram was not sent, and will not be."""
        cause = error if isinstance(error, str) else _CAUSES.get(type(error).__name__) or name_of(error)
        self._record_out(message, f"dropped out: {cause}")

    def _record_out(self, message: Any, comment: str) -> None:
        noted = self._senders.pop(id(message), None)
        if not self.tapping.takes():
            return
        try:
            self._add_out(message, f"{comment}, from {noted[1]}" if noted is not None else comment)
        except Exception:  # memory has run out, or it is of a class whose attributes do anything
            self.tapping.miss()

    def _add_out(self, message: Any, comment: str) -> None:
        record = Record(
            interface=self.interface,
            at=self.tapping.now(),
            source=self._local_of(message.info),
            destination=_safe(message.addr),
            data=_bytes(message.data),
            direction=OUTBOUND,
            comment=comment,
            missed=0,
        )
        self.tapping.add(record, None)

    def _local_of(self, info: Any) -> Address:
        """Returns the socket's own address; that of the datagram itself, if its info has it."""
        local = self._local()
        if type(info) is PacketInfo and info.local is not None:
            return (info.local, local[1])
        return local


class Recording:
    """Sends through `sender`, and tells `ear`. Implements `Sender`."""

    def __init__(self, sender: Any, ear: Ear) -> None:
        self._sender = sender
        self._ear = ear

    def send(self, message: MessageUDP) -> int:
        """Sends one datagram, as `sender` does."""
        try:
            size: int = self._sender.send(message)
        except BlockingIOError:
            raise
        except Exception as error:
            self._ear.not_sent(message, error)
            raise
        self._ear.sent(message)
        return size

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        """Sends datagrams in order, as `sender` does."""
        known = len(failures)
        done: int = self._sender.send_many(messages, failures)
        failed = dict(failures[known:])
        for index in range(done):
            error = failed.get(index)
            if error is None:
                self._ear.sent(messages[index])
            else:
                self._ear.not_sent(messages[index], error)
        return done


def _bytes(data: Any) -> bytes:
    """Returns a copy of the data that users have handed in; b"" if it is not bytes-like."""
    if type(data) is bytes:
        return data
    try:
        with memoryview(data) as view, view.cast("B") as flat:
            return bytes(flat[:65535])
    except Exception:  # TypeError mostly; and a class may have a `__buffer__` of its own
        return b""


def _safe(address: Any) -> Address:
    """Returns an address, whatever users have handed in."""
    if type(address) is not tuple or len(address) < 2:
        return _UNKNOWN
    host, port = address[0], address[1]
    return (host, port) if type(host) is str and type(port) is int else _UNKNOWN
