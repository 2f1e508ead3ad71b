"""The portable backend: one system call per datagram, on any platform that has sockets.

Datagrams are received into one arena and copied: so a message in a mailbox takes memory of its own length, whatever
`buffer_size` is. (`recvfrom` with a large size is 10 % faster, but leaves holes of that size in the heap between
messages that are kept.)
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from array import array
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ...gen.retrying import twice
from ..address import (
    DUAL_STACK,
    NORMALIZERS,
    Address,
    canonical,
    check_destination,
    family_of,
    mapped,
    send_refused,
)
from ..batch import Columns
from ..failures import Failures
from ..message import MessageUDP, PacketInfo
from ..policy.admission import Admission
from ..policy.budget import Budget
from ..sockets.kernel import join_no_datagrams
from .ancillary import ROOM, Control, read_control, read_drops, write_control
from .base import Backend
from .contract import Pooled
from .own_address import OwnAddress

if TYPE_CHECKING:
    from .base import Retry

_TELLS_LENGTH = sys.platform == "linux"
_TAKES_ADDRESS = sys.platform == "linux"
"""True if a connected socket accepts an address in `sendto`; other systems refuse it (EISCONN)."""
_WSAEMSGSIZE = 10040  # Windows' error for a datagram longer than the buffer
_PASSED_OVER = 64  # as many as are read at once
_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK)


class PortableBackend(Backend):
    """Receives and sends on one non-blocking socket."""

    name = "portable"
    gro = gso = False

    def __init__(self, sock: socket.socket, buffer_size: int, info: bool) -> None:
        super().__init__()
        self._sock = sock
        self._family = family_of(sock)
        self._dual = self._family == DUAL_STACK
        self._six = self._family in (socket.AF_INET6, DUAL_STACK)
        self._own = OwnAddress(sock)
        self._normalize = NORMALIZERS.get(self._family)
        join_no_datagrams(sock)
        self._accept(buffer_size)
        self._receiving = False
        self._info = info
        self._infos: list[PacketInfo] = []  # the infos of the datagrams of a `receive`
        self._receive_into: Callable[[bytearray], tuple[int, Address]]
        self._receive_pooled: Callable[[socket.socket, Any], tuple[int, Address, bool, Control]]
        self.admission = None
        self.budget: Budget | None = None
        self._to_peer = not _TAKES_ADDRESS and _is_connected(sock)
        self._sendto = self._send_to_peer if self._to_peer else sock.sendto
        self._error: OSError | None = None  # raised after the datagrams that came before it

    def _accept(self, buffer_size: int) -> None:
        self._size = buffer_size
        self._arena = bytearray(buffer_size + 1)  # one byte more than is accepted, to detect longer datagrams
        self._view = memoryview(self._arena)

    @property
    def admission(self) -> Admission | None:
        return self._admission

    @admission.setter
    def admission(self, admission: Admission | None) -> None:
        """Sets the admission. None costs nothing: the socket's own method is then called for each datagram."""
        self._admission = admission
        self._receive_into = self._receive_with_info if self._info else self._sock.recvfrom_into
        self._receive_pooled = _receive_linux if _TELLS_LENGTH and not self._info else _receive_anywhere
        if admission is not None:
            self._receive_into = _admitted(admission, self._receive_into, self._infos, self._size)
            self._receive_pooled = _admitted(admission, self._receive_pooled, self._infos, None)

    def fit(self, sock: socket.socket, buffer_size: int, gso: bool, info: bool) -> None:
        if buffer_size != self._size:
            self._accept(buffer_size)
        self._info = info
        self.admission = self._admission  # chooses the receive functions anew

    # --- receiving ----------------------------------------------------------------------------------------

    def receive(self, limit: int, reads: int, id: Any, octets: int = 0x7FFFFFFF) -> list[MessageUDP]:
        if self._receiving:
            return []  # called by a finalizer during a receive: the arena is in use
        self._receiving = True
        try:
            # This backend keeps nothing for the next call, so it must not read more than `octets` allow. A limit on the
            # number costs nothing per datagram.
            return self._receive(min(limit, reads, 1 + (octets - 1) // max(1, self._size)), id)
        finally:
            self._receiving = False

    def receive_lone(self, id: Any, reads: int) -> MessageUDP | None:
        messages = self.receive(1, 1, id)  # not more, as this backend keeps nothing for the next call
        return messages[0] if messages else None

    def _receive(self, limit: int, id: Any) -> list[MessageUDP]:
        arena, view, size = self._arena, self._view, self._size
        holes = self.holes
        receive_into = self._receive_into if holes is None else self._receive_noting
        messages: list[MessageUDP] = []
        taken = 0
        self._raise_pending()
        self.more = self.full = True
        if holes is not None:
            holes.look()
        try:
            for _ in range(limit):
                try:
                    length, address = receive_into(arena)
                except OSError as error:
                    if error.errno != _WSAEMSGSIZE:
                        raise
                    length, address = size + 1, ("", 0)  # Windows does not report the source
                taken += 1
                if length > size:
                    self.truncated += 1
                    messages.append(MessageUDP(id, address, view[:size].tobytes(), True))
                    self.bytes_in += size
                else:
                    messages.append(MessageUDP(id, address, view[:length].tobytes()))
                    self.bytes_in += length
        except OSError as error:
            self._keep(error, nothing=not messages)
        except MemoryError:
            if not taken:
                raise
            self.lost += taken - len(messages)
            if holes is not None:
                holes.lost(taken - len(messages))
            del self._infos[len(messages) :]
        self.packets_in += taken
        if self._info:
            for message, info in zip(messages, self._infos, strict=True):
                message.info = info
            self._infos.clear()
        if self._normalize is not None:
            for message in messages:
                message.addr = self._normalize(message.addr)
        if self.budget is not None:
            for message in messages:
                self.budget.heard_from(message.addr, len(message.data))
        return messages

    def _receive_with_info(self, arena: bytearray) -> tuple[int, Address]:
        """Receives like `recvfrom_into`, and stores the info."""
        length, control, _, address = self._sock.recvmsg_into([arena], ROOM)
        self._infos.append(read_control(control))
        return length, address

    def _receive_noting(self, arena: bytearray) -> tuple[int, Address]:
        """Receives like `recvfrom_into`, stores the info if it is requested, and notes the holes."""
        length, address, _, control = self._receive_admitted_noting(arena)
        if self._info:
            self._infos.append(read_control(control))
        return length, address

    def _receive_admitted_noting(self, buffer: Any) -> tuple[int, Address, bool, Control]:
        """As `_receive_anywhere`, for a datagram that is admitted, and notes the holes."""
        holes: Any = self.holes
        admission = self._admission
        for _ in range(_PASSED_OVER):
            try:
                received = _receive_anywhere(self._sock, buffer)
            except BlockingIOError:
                holes.emptied()
                raise
            info = read_control(received[3]) if self._info else None
            holes.reached(read_drops(received[3]), -1 if info is None or info.timestamp is None else info.timestamp)
            if admission is None:
                holes.place += 1
                return received
            before = admission.limiter.limited
            length = min(received[0], self._size) if buffer is self._arena else received[0]
            if admission.admits(received[1], memoryview(buffer).cast("B")[:length]):
                holes.place += 1
                return received
            if admission.limiter.limited > before:
                holes.limited(1)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def receive_columns(self, reads: int) -> Columns | None:
        messages = self.receive(reads, reads, None)
        if not messages:
            return None
        try:
            return self._columns(messages)
        except MemoryError:
            self.lost += len(messages)
            raise

    def _columns(self, messages: list[MessageUDP]) -> Columns:
        lengths = array("i", [len(message.data) for message in messages])
        offsets = array("i", accumulate(lengths, initial=0))
        offsets.pop()
        hosts = b"".join([self._raw_host(message.addr) for message in messages])
        ports = array("H", [self._port(message.addr) for message in messages])
        return (
            b"".join([message.data for message in messages]),
            _nothing,
            sum(lengths),
            offsets.tobytes(),
            lengths.tobytes(),
            hosts,
            ports.tobytes(),
            list(range(len(messages))),
            [message.addr for message in messages],
            [message.info for message in messages if message.info is not None],
            [index for index, message in enumerate(messages) if message.truncated],
        )

    def _raw_host(self, address: Address) -> bytes:
        """Returns the peer's host in network order: 4 bytes, or 16 on an IPv6 socket."""
        host = mapped(address)[0] if self._dual else address[0]
        return socket.inet_pton(self._sock.family, host.partition("%")[0])

    def _port(self, address: Address) -> int:
        return int(address[1])

    def receive_pooled(self, limit: int, get: Callable[[], Any], put: Callable[[Any], None]) -> list[Pooled]:
        receive = self._receive_pooled if self.holes is None else self._receive_pooled_noting
        batch: list[Pooled] = []
        self._raise_pending()
        self.more = self.full = True
        if self.holes is not None:
            self.holes.look()
        for _ in range(limit):
            buffer = get()
            try:
                length, address, truncated, control = receive(self._sock, buffer)
            except BaseException as error:
                twice(put, buffer)  # or those that were received before would be lost
                if not isinstance(error, OSError):
                    raise
                self._keep(error, nothing=not batch)
                break
            if self._normalize is not None:
                address = self._normalize(address)
            batch.append((buffer, length, address, truncated, read_control(control) if self._info else None))
            self.bytes_in += length
            self.truncated += truncated
            if self.budget is not None:
                self.budget.heard_from(address, length)
        self.packets_in += len(batch)
        return batch

    def _receive_pooled_noting(self, sock: socket.socket, buffer: Any) -> tuple[int, Address, bool, Control]:
        return self._receive_admitted_noting(buffer)

    def _keep(self, error: OSError, *, nothing: bool) -> None:
        """Handles an error of a read: either no datagram is waiting, or it is an error to raise after the datagrams
        read before it were returned."""
        if error.errno in _WOULD_BLOCK:
            self.more = self.full = False
        elif nothing:
            raise error
        else:
            self._error = error

    def _raise_pending(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    # --- sending ------------------------------------------------------------------------------------------

    def send(self, message: MessageUDP) -> int:
        self._check(message.addr)
        try:
            size = self._send(message)
        except PermissionError as error:
            raise send_refused(error.errno or 0, message.addr) from None
        self.packets_out += 1
        self.bytes_out += size
        return size

    def _check(self, address: Any) -> None:
        check_destination(self._family, address)
        if address[1] == self._own.port:
            self._own.check(address)

    def _send(self, message: MessageUDP) -> int:
        try:
            return self._transmit(message)
        except OSError as error:
            if self.retry is None or error.errno in _WOULD_BLOCK:
                raise
            return self._send_retrying(message, error, self.retry)

    def _transmit(self, message: MessageUDP) -> int:
        address = mapped(message.addr) if self._dual else message.addr
        if self._six and "%" in address[0]:
            address = canonical(address)  # the socket module ignores a scope in the host
        if message.info is None:
            return self._sendto(message.data, address)
        control = write_control(message.info, message.addr)
        return self._sock.sendmsg([message.data], control, 0, None if self._to_peer else address)

    def _send_to_peer(self, data: Any, address: Address) -> int:
        return self._sock.send(data)

    def _send_retrying(self, message: MessageUDP, error: OSError, retry: Retry) -> int:
        tries = 0
        while retry(error.errno or 0, tries):
            tries += 1
            try:
                return self._transmit(message)
            except BlockingIOError:
                raise
            except OSError as failure:
                error = failure
        raise error

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        for index, message in enumerate(messages):
            try:
                self.send(message)
            except BlockingIOError:
                return index
            except Exception as error:
                failures.append((index, error))
        return len(messages)


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _nothing() -> None:
    """Does nothing: the columns are copies, with no memory to return."""


def _admitted(
    admission: Admission, receive: Callable[..., Any], infos: list[PacketInfo], size: int | None
) -> Callable[..., Any]:
    """Returns a function that receives like `receive`, but skips datagrams that are not admitted, and their infos.
    After skipping many in a row it reports that none is waiting, so that the event loop continues. size: the longest
    datagram that is accepted; None: as much as the buffer, which is the last argument, has room for."""

    def receive_admitted(*arguments: Any) -> Any:
        for _ in range(_PASSED_OVER):
            try:
                received = receive(*arguments)
            except OSError as error:
                if error.errno != _WSAEMSGSIZE:
                    raise
                admission.denied += 1  # Windows does not report the source
                continue
            length = received[0] if size is None else min(size, received[0])
            if admission.admits(received[1], memoryview(arguments[-1]).cast("B")[:length]):
                return received
            del infos[-1:]
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    return receive_admitted


def _receive_linux(sock: socket.socket, buffer: Any) -> tuple[int, Address, bool, Control]:
    """Receives with MSG_TRUNC, for which Linux returns the real length of a datagram (recv(2)). Saves 0.2 us compared
    with `recvmsg_into`."""
    length, address = sock.recvfrom_into(buffer, 0, socket.MSG_TRUNC)
    size = len(buffer) if type(buffer) is bytearray else memoryview(buffer).nbytes
    return (size, address, True, []) if length > size else (length, address, False, [])


def _receive_anywhere(sock: socket.socket, buffer: Any) -> tuple[int, Address, bool, Control]:
    length, control, flags, address = sock.recvmsg_into([buffer], ROOM)
    return length, address, bool(flags & socket.MSG_TRUNC), control
