"""The batch: all datagrams of one wake-up, stored in columns, without an object for each."""

from __future__ import annotations

import builtins
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, TypeAlias, overload

from .address import Address
from .columns import read_column
from .errors import BatchEnded
from .message import MessageUDP, PacketInfo

Columns: TypeAlias = tuple[
    Any, Callable[[], None], int, bytes, bytes, bytes, bytes, list[int], list[Address], list[PacketInfo], list[int]
]
"""A batch as a backend reads it: the buffer that holds the datagrams, and the function that returns it to its owner;
the total number of bytes; offsets and lengths of the datagrams (C int), hosts (4 or 16 bytes) and ports (uint16); for
each read the number of its first datagram, its peer and its info (an empty list if no info was requested); the numbers
of the truncated datagrams."""


class DatagramBatch:
    """The argument of `handle_datagrams(self, batch)`: a sequence of `MessageUDP`, each made only on access.

    The batch ends when the callback returns (or when the coroutine that it returned has finished): afterwards, using
    the batch or its `buffer` raises. A copy made by `detach` does not end. An array made over the buffer keeps the
    memory, which is then not reused.

    id: alias of the UDP server that received it, to which answers are sent.
    """

    __slots__ = ("_addresses", "_columns", "_cut", "_done", "_firsts", "_infos", "_size", "_views", "id")

    def __init__(self, id: Any, columns: Columns) -> None:
        buffer, done, size, offsets, lengths, hosts, ports, firsts, addresses, infos, cut = columns
        self.id = id
        self._columns = (offsets, lengths, hosts, ports)
        self._views: tuple[memoryview, ...] | None = (
            memoryview(buffer),
            memoryview(offsets).cast("i"),
            memoryview(lengths).cast("i"),
            memoryview(hosts),
            memoryview(ports).cast("H"),
        )
        self._done = done
        self._size = size
        self._firsts = firsts
        self._addresses = addresses
        self._infos = infos
        self._cut = cut

    def __repr__(self) -> str:
        if self._views is None:
            return f"DatagramBatch({self.id}, ended)"
        return f"DatagramBatch({self.id}, {self.count} datagrams, {self.bytes} bytes)"

    # --- in columns ---------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Number of datagrams, the same as `len(batch)`."""
        return len(self._alive()[1])

    @property
    def bytes(self) -> int:
        """Bytes of all payloads together."""
        self._alive()
        return self._size

    @property
    def buffer(self) -> memoryview:
        """The bytes, read-only, not copied. Datagram k is `buffer[offsets[k] : offsets[k] + lengths[k]]`. Behind its
        end are bytes of earlier datagrams, also of other peers: never read them; `column` does not."""
        return self._alive()[0]

    @property
    def offsets(self) -> memoryview:
        """The offset of each datagram in `buffer`, as C int (`numpy.frombuffer(batch.offsets, numpy.intc)`)."""
        return self._alive()[1]

    @property
    def lengths(self) -> memoryview:
        """The length of each datagram, as C int."""
        return self._alive()[2]

    @property
    def hosts(self) -> memoryview:
        """The peers' addresses in network order: 4 bytes for each datagram, 16 if the server's socket is IPv6."""
        return self._alive()[3]

    @property
    def ports(self) -> memoryview:
        """The peers' ports: unsigned 16-bit integers."""
        return self._alive()[4]

    @property
    def cut(self) -> Sequence[int]:
        """The numbers of the truncated datagrams, which were longer than `buffer_size`: the batch has their first
        bytes."""
        self._alive()
        return self._cut

    def column(self, dtype: Any, at: int = 0) -> tuple[Any, Any]:
        """Returns one field of all datagrams, as two numpy arrays: the values, and booleans that tell which values are
        valid. For a datagram too short to have the field they contain 0 and False.

        dtype: a numpy type of fixed size: ">u4" is an unsigned 32-bit number in network order, "S8" is 8 bytes;
            `[("kind", "u1"), ("value", ">f8")]` reads several fields at once.
        at: offset of the field in each datagram, in bytes.

        The arrays are copies, and stay valid when the batch ends. Raises `BadOption`, and `NotAllowed` without numpy.
        """
        buffer, offsets, lengths, *_ = self._alive()
        return read_column(buffer, offsets, lengths, dtype, at)

    def payloads(self) -> list[builtins.bytes]:
        """Returns the payloads, in order, as copies that stay valid when the batch ends. Costs a fraction of iterating
        over the batch, which makes a `MessageUDP` of each."""
        buffer, offsets, lengths, *_ = self._alive()
        return [buffer[start : start + size].tobytes() for start, size in zip(offsets, lengths, strict=True)]

    def address(self, index: int) -> Address:
        """Returns the peer of a datagram, as the socket module writes it."""
        return self._addresses[self._read(index)]

    def info(self, index: int) -> PacketInfo | None:
        """Returns the info that `SocketOptions` request for each datagram; None if they request none."""
        read = self._read(index)
        return self._infos[read] if self._infos else None

    def _read(self, index: int) -> int:
        """Returns the number of the read that received a datagram."""
        count = self.count
        if not -count <= index < count:
            raise IndexError(f"the batch has {count} datagrams, none with number {index}")
        return bisect_right(self._firsts, index % count) - 1

    # --- as a sequence ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.count

    @overload
    def __getitem__(self, index: int) -> MessageUDP: ...
    @overload
    def __getitem__(self, index: slice) -> list[MessageUDP]: ...
    def __getitem__(self, index: int | slice) -> MessageUDP | list[MessageUDP]:
        if isinstance(index, slice):
            return [self[number] for number in range(self.count)[index]]
        read = self._read(index)
        buffer, offsets, lengths, *_ = self._alive()
        number = index % len(offsets)
        start = offsets[number]
        place = bisect_left(self._cut, number)
        cut = place < len(self._cut) and self._cut[place] == number
        data = buffer[start : start + lengths[number]].tobytes()
        return MessageUDP(self.id, self._addresses[read], data, cut, None, self._infos[read] if self._infos else None)

    def __iter__(self) -> Iterator[MessageUDP]:
        for number in range(self.count):
            yield self[number]

    # --- its life -----------------------------------------------------------------------------------------

    def detach(self) -> DatagramBatch:
        """Returns a copy that does not end."""
        buffer, offsets, lengths, *_ = self._alive()
        payloads = b"".join([buffer[start : start + size] for start, size in zip(offsets, lengths, strict=True)])
        starts = memoryview(bytearray(offsets.nbytes)).cast("i")
        position = 0
        for number, size in enumerate(lengths):
            starts[number] = position
            position += size
        _, own_lengths, hosts, ports = self._columns
        columns = (payloads, _nothing, self._size, starts.tobytes(), own_lengths, hosts, ports)
        return DatagramBatch(self.id, (*columns, self._firsts, self._addresses, self._infos, self._cut))

    def _alive(self) -> tuple[memoryview, ...]:
        if self._views is None:
            raise BatchEnded()
        return self._views

    def _end(self) -> None:
        """Ends the batch, after its callback: the memory is reused, unless an array still refers to it."""
        views, self._views = self._views, None
        if views is None:
            return
        try:
            views[0].release()
        except BufferError:
            pass  # an array refers to this memory and keeps it; the backend makes another arena
        del views
        self._done()


def end_batch(batch: DatagramBatch) -> None:
    """Ends a batch that nobody gets."""
    batch._end()


def part_of(batch: DatagramBatch, numbers: list[int]) -> DatagramBatch:
    """Returns a batch of the datagrams with these numbers, and ends `batch`."""
    messages = [batch[number] for number in numbers]
    sizes = [len(message.data) for message in messages]
    host, hosts, ports = len(batch.hosts) // len(batch), batch.hosts, batch.ports
    columns: Columns = (
        b"".join([message.data for message in messages]),
        _nothing,
        sum(sizes),
        array("i", accumulate(sizes[:-1], initial=0)).tobytes(),
        array("i", sizes).tobytes(),
        b"".join([bytes(hosts[host * number : host * (number + 1)]) for number in numbers]),
        b"".join([bytes(ports[number : number + 1]) for number in numbers]),
        list(range(len(messages))),
        [message.addr for message in messages],
        [message.info for message in messages if message.info is not None],
        [index for index, message in enumerate(messages) if message.truncated],
    )
    batch._end()
    return DatagramBatch(batch.id, columns)


def _nothing() -> None:
    """Does nothing: a detached batch has no memory to return."""
