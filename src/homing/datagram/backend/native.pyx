"""The native backend: recvmmsg(2) and sendmmsg(2), trains of datagrams split and joined by the kernel, messages made
in C. Linux only. The same contract as `portable`."""

import os
import socket

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from ...gen import BadOption
from ..message cimport MessageUDP, PacketInfo
from ..policy.admission cimport Admission
from ..policy.budget cimport Budget
from ..sockets.kernel import stop_joining
from .admitted cimport admit, admit_noting, admitted, admitted_noting, fitting, hear
from .arena cimport SLOTS, Arena, InfoReader, Slot, datagrams_from, give_back, take
from .outbox cimport Outbox
from .peers cimport PEERS, Key, same
from .native_sender cimport AF_INET, Sender, sets
from .spares cimport keep_spares, limit_spares
from .system cimport UDP_GRO
from .verdict cimport Verdict

cdef enum:
    # Limits of one read, so that 64 trains of 64 datagrams are not read at once. 512 messages: 256 cost 5 % more, 1024
    # the same, and delay others. 2048 datagrams in columns: they share the cost of numpy's calls; 512 cost a fifth more.
    # A mebibyte: the messages made of it still fit into the cache; four cost 10 % more (trains of 1200 bytes each).
    MESSAGES = 512
    COLUMNS = 2048
    MOST_BYTES = 1 << 20

keep_spares(MessageUDP)


def spare(int most):
    """Keeps the memory of at most `most` messages that have ended for new ones: 512, or less to test what making an
    object may do."""
    limit_spares(most)


def probe():
    """Returns why recvmmsg(2) and sendmmsg(2) cannot be used (an old kernel, a container's filter); "" if they can."""
    # Called with no messages, they need no network, and no firewall is involved.
    cdef Arena arena = Arena()
    cdef Outbox outbox = Outbox()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if arena.read(sock.fileno(), 0, False, False) < 0:
            return f"recvmmsg: {os.strerror(errno)}"
        if outbox.send(sock.fileno()) < 0:
            return f"sendmmsg: {os.strerror(errno)}"
    return ""


cdef class NativeBackend(Sender):
    """Receives on one non-blocking socket, and sends as a `Sender`."""

    name = "native"

    cdef Py_ssize_t _size  # the longest datagram that is accepted
    cdef double _train, _read_size  # datagrams and bytes of the last read of the kernel
    cdef int _pooled  # buffers to take from a pool for a read
    cdef Arena _arena  # datagrams read but not delivered yet: from `_offset` in the slot `_slot` on
    cdef int _slot, _filled
    cdef Py_ssize_t _offset
    cdef list _behind  # arenas that `drain` has read after `_arena`, as (arena, slots filled)
    cdef bint _short  # the last read into a pool's buffers has found the socket empty
    cdef bint _handing_out  # one of the methods that receive is at work on `_arena`
    cdef public Admission admission  # None: every datagram becomes a message
    cdef public Budget budget  # None: nothing is recorded
    cdef InfoReader _info_reader  # None: no packet info is requested
    cdef readonly bint gro

    def __cinit__(self):
        self.keeps = True
        self._train = 1.0
        self._pooled = 1
        self._behind = []

    def __init__(self, sock not None, Py_ssize_t buffer_size, bint gro, bint gso, bint info):
        if self._fd >= 0:
            raise TypeError("a backend serves one socket")
        if buffer_size < 0:
            raise BadOption("buffer_size", buffer_size, "give a number of bytes, 0 or more")
        self._size = buffer_size
        self._info_reader = InfoReader() if info else None
        self.gro = sets(sock, UDP_GRO, gro) and gro  # a socket that was inherited may have it set
        self.serve(sock, gso)

    def fit(self, sock not None, Py_ssize_t buffer_size, bint gso, bint info):
        cdef Arena arena
        cdef int filled
        if buffer_size < 0:
            raise BadOption("buffer_size", buffer_size, "give a number of bytes, 0 or more")
        self._size = buffer_size
        if gso != (self._gso_most > 0):
            self.let_run(sock, gso)
        if not info:
            self._info_reader = None
        elif self._info_reader is None:
            for arena, filled in [(self._arena, self._filled), *self._behind]:
                if arena is not None:
                    arena.tell_nothing(filled)  # it was read without infos
            self._info_reader = InfoReader()

    def close(self):
        cdef Arena arena = self._arena
        self._fd = -1  # the number of this descriptor may be reused soon
        self.left += self.waiting
        self.waiting = 0
        self._arena = None
        if arena is not None and not self._handing_out:
            give_back(arena)
        for arena, _ in self._behind:
            give_back(arena)
        self._behind.clear()

    def join(self, sock not None):
        self.gro = sets(sock, UDP_GRO, 1)

    def judge(self, condition):
        return Verdict(condition)

    def split(self, sock not None):
        if self.gro and stop_joining(sock):
            self.gro = False
        return not self.gro

    def drain(self, int reads):
        cdef Arena first = self._arena
        cdef int slot = self._slot, filled = self._filled
        cdef Py_ssize_t offset = self._offset
        if self._handing_out:
            return False
        self._handing_out = True
        try:
            while reads > 0 and self._read(SLOTS, COLUMNS):
                self._behind.append((self._arena, self._filled))
                reads -= self._filled
        finally:
            self._handing_out = False
            self._arena, self._slot, self._filled, self._offset = first, slot, filled, offset
            if self._fd < 0:
                self.close()  # again: a finalizer has closed it meanwhile
        if self._arena is None:
            self._go_on()
        return reads > 0

    cdef int _go_on(self) except -1:
        """Continues with the next arena that `drain` has read, if any."""
        self._arena = None
        if self._behind:
            self._arena, self._filled = self._behind.pop(0)
            self._slot = 0
            self._offset = 0
        return 0

    # Making an object may collect garbage, which runs finalizers, and these may close this backend or receive from it.
    # So an arena belongs to one call at a time (`_handing_out`), and nested calls return nothing; and datagrams are
    # removed from the arena only when all their objects exist.

    cpdef list receive(self, Py_ssize_t limit, Py_ssize_t reads, id, Py_ssize_t octets=0x7FFFFFFF):
        if self._handing_out:
            return []
        self._handing_out = True
        try:
            if self._arena is None and not self._read(limit if limit < reads else reads, MESSAGES):
                return []
            return self._messages(self._arena, limit, id, octets)
        finally:
            self._handing_out = False

    cpdef receive_lone(self, id, Py_ssize_t reads):
        if self._handing_out:
            return None
        self._handing_out = True
        try:
            if self._arena is None and not (self._read_alone() if reads == 1 else self._read(reads, MESSAGES)):
                return None
            return self._lone(self._arena, id) if self.waiting == 1 else None
        finally:
            self._handing_out = False

    cdef int _read_alone(self) except -1:
        """As `_read` with one read, at less cost if it is to bring one datagram, about which nobody wants to know more."""
        cdef Arena arena
        cdef ssize_t length
        if (
            self.admission is not None or self.holes is not None or self.budget is not None
            or self._info_reader is not None or self._train > 1.0
        ):
            return self._read(1, MESSAGES)
        arena = take()
        if not arena.is_ready(self.gro):
            give_back(arena)
            return self._read(1, MESSAGES)
        length = arena.read_alone(self._fd)
        if length < 0:
            return self._read_nothing(arena, errno)
        self.more = self.full = True
        self._train = arena.take_alone(length)
        self._read_size = max(1.0, <double> length)
        self.cut_trains += arena.cut_trains
        self._arena = arena
        self._filled = 1
        self._slot = 0
        self._offset = 0
        self.waiting += <Py_ssize_t> self._train
        return 1

    cdef int _read_nothing(self, Arena arena, int number) except -1:
        """The end of a read that brought nothing. Raises `OSError`."""
        self.more = self.full = False
        give_back(arena)
        if number != EAGAIN:
            raise OSError(number, os.strerror(number))
        if self.holes is not None:
            self.holes.emptied()
        return 0

    @cython.nonecheck(False)
    cdef MessageUDP _lone(self, Arena arena, id):
        """Makes the message of the only datagram of the arena."""
        cdef Slot* slot = &arena.slots[self._slot]
        cdef Py_ssize_t length = min(slot.length - self._offset, self._size)
        cdef MessageUDP message = MessageUDP.__new__(MessageUDP)
        message.id = id
        message.addr = PEERS.address(&slot.peer, slot.place)
        message.data = PyBytes_FromStringAndSize(slot.start + self._offset, length)
        message.truncated = slot.truncated or slot.length - self._offset > self._size
        if self._info_reader is not None:
            message.info = self._info_reader.info(slot)
        self.packets_in += 1
        self.bytes_in += length
        self.truncated += message.truncated
        if self._arena is arena:
            self.waiting = 0
            self._go_on()
        else:
            self.left -= 1  # closed meanwhile
        give_back(arena)
        return message

    @cython.nonecheck(False)  # the objects used here were made here, or are checked
    cdef list _messages(self, Arena arena, Py_ssize_t limit, id, Py_ssize_t octets):
        """Makes up to `limit` messages from the arena; stops after the message that reaches `octets` bytes in total."""
        cdef list messages = []
        cdef Py_ssize_t length, left, offset = self._offset
        cdef long long size = 0, truncated = 0
        cdef int number = self._slot
        cdef Slot* slot
        cdef MessageUDP message
        cdef Key last
        cdef PacketInfo info = None
        cdef object address = None
        cdef bint cut
        while number < self._filled and limit > 0 and size < octets:
            slot = &arena.slots[number]
            if address is None or not same(&last, &slot.peer):
                last = slot.peer
                address = PEERS.address(&last, slot.place)
            if self._info_reader is not None:
                info = self._info_reader.info(slot)
            while limit > 0 and size < octets:
                left = slot.length - offset
                length = slot.segment if slot.segment < left else left
                cut = slot.truncated or length > self._size
                message = MessageUDP.__new__(MessageUDP)
                message.id = id
                message.addr = address
                message.data = PyBytes_FromStringAndSize(
                    slot.start + offset, self._size if length > self._size else length
                )
                message.truncated = cut
                if info is not None:
                    message.info = info
                messages.append(message)
                size += self._size if length > self._size else length
                truncated += cut
                limit -= 1
                offset += length
                if offset >= slot.length:
                    number += 1
                    offset = 0
                    break
            if self._arena is not arena:
                break  # closed meanwhile
        self.packets_in += len(messages)
        self.bytes_in += size
        self.truncated += truncated
        if self._arena is not arena:
            self.left -= len(messages)
            give_back(arena)
            return messages
        self.waiting -= len(messages)
        self._slot = number
        self._offset = offset
        if number == self._filled:
            self._go_on()
            give_back(arena)
        return messages

    cdef int _read(self, Py_ssize_t reads, int wanted) except -1:
        """Fills an arena, with about `wanted` datagrams if trains come. Returns the number of reads."""
        cdef Admission admission = self.admission
        cdef int slot, got, number, count = <int> min(reads, SLOTS)
        cdef Py_ssize_t datagrams = 0, size = 0
        cdef Arena arena
        if count <= 0:
            return 0
        if self._train > 1.0:
            count = <int> max(1.0, min(count, wanted / self._train, MOST_BYTES / self._read_size))
        if admission is not None:
            admission.look_at_clock()  # may call a user's function: before an arena is taken
        arena = take()
        arena.aim_inside(count)
        if self.holes is not None:
            self._look(arena, count)
        got = arena.read(
            self._fd, count, self.gro or self._info_reader is not None or self.holes is not None,
            self._info_reader is not None,
        )
        number = errno
        if got <= 0:
            return self._read_nothing(arena, number if got < 0 else EAGAIN)
        self.more = True  # another read costs less than a turn of the loop for datagrams that came meanwhile
        self.full = got == count
        self.cut_trains += arena.cut_trains
        for slot in range(got):
            size += arena.slots[slot].length
            datagrams += datagrams_from(&arena.slots[slot], 0)
        self._train = datagrams / <double> got
        self._read_size = max(1.0, size / <double> got)
        if self.holes is not None:
            datagrams = admit_noting(admission, arena, &got, count, self.holes, self._info_reader is not None)
        elif admission is not None:
            datagrams = admit(admission, arena, &got)
        if got == 0 or self._fd < 0:
            give_back(arena)
            return 0
        if self.budget is not None:
            for slot in range(got):
                hear(self.budget, &arena.slots[slot], self._size)
        self._arena = arena
        self._filled = got
        self._slot = 0
        self._offset = 0
        self.waiting += datagrams
        return got

    cdef int _look(self, Arena arena, int count) except -1:
        """Prepares a read that notes the holes between its datagrams."""
        cdef int slot
        for slot in range(count):
            arena.slots[slot].drops = 0
        try:
            self.holes.look()
        except BaseException:
            give_back(arena)
            raise
        return 0

    def receive_columns(self, int reads):
        # The arena belongs to the caller until `done` is called.
        if self._handing_out:
            return None
        self._handing_out = True
        try:
            if self._arena is None and not self._read(reads, COLUMNS):
                return None
            return self._columns(self._arena)
        finally:
            self._handing_out = False

    cdef tuple _columns(self, Arena arena):
        cdef Slot* slot
        cdef int number
        cdef Py_ssize_t length, left, end, index = 0, total = 0, count = 0, start = self._offset
        cdef int host_size = 4 if self._family == AF_INET else 16
        cdef bytes offsets, lengths, hosts, ports
        cdef int* offset
        cdef int* size
        cdef char* host
        cdef uint16_t* port
        cdef uint16_t swapped
        cdef list firsts = [], addresses = [], infos = [], cut = []
        cdef tuple columns
        for number in range(self._slot, self._filled):
            count += datagrams_from(&arena.slots[number], start if number == self._slot else 0)
        offsets = PyBytes_FromStringAndSize(NULL, count * sizeof(int))
        lengths = PyBytes_FromStringAndSize(NULL, count * sizeof(int))
        hosts = PyBytes_FromStringAndSize(NULL, count * host_size)
        ports = PyBytes_FromStringAndSize(NULL, count * sizeof(uint16_t))
        offset = <int*> PyBytes_AS_STRING(offsets)
        size = <int*> PyBytes_AS_STRING(lengths)
        host = PyBytes_AS_STRING(hosts)
        port = <uint16_t*> PyBytes_AS_STRING(ports)
        for number in range(self._slot, self._filled):
            slot = &arena.slots[number]
            firsts.append(index)
            addresses.append(PEERS.address(&slot.peer, slot.place))
            if self._info_reader is not None:
                infos.append(self._info_reader.info(slot))
            swapped = (slot.peer.words[0] >> 16) & 0xFFFF
            swapped = (swapped >> 8) | (swapped << 8)
            end = min(count, index + datagrams_from(slot, start))
            while index < end:
                left = slot.length - start
                length = slot.segment if slot.segment < left else left
                offset[index] = <int> (slot.start + start - arena._memory)
                size[index] = <int> min(length, self._size)
                if slot.truncated or length > self._size:
                    cut.append(index)
                if host_size == 4:
                    memcpy(host + index * 4, (<char*> &slot.peer.words[0]) + 4, 4)
                else:
                    memcpy(host + index * 16, &slot.peer.words[1], 16)
                port[index] = swapped
                total += size[index]
                index += 1
                start += length
            start = 0
        columns = (arena, arena.done, total, offsets, lengths, hosts, ports, firsts, addresses, infos, cut)
        self.packets_in += index
        self.bytes_in += total
        self.truncated += len(cut)
        if self._arena is arena:
            self.waiting -= index
            self._go_on()
        else:
            self.left -= index  # closed meanwhile
        return columns

    def receive_pooled(self, Py_ssize_t limit, get, put):
        cdef list buffers = [], received = []
        cdef Arena arena
        cdef int got = 0
        if limit <= 0:
            return received
        if self.admission is not None:
            self.admission.look_at_clock()
        arena = take()
        try:
            got = self._read_pooled(arena, <int> min(limit, self._pooled), get, buffers)
            self._take_admitted(arena, got, buffers, received)
        except BaseException:
            self.packets_in += got
            self.lost += got
            self._put_all(buffers, put)
            raise
        finally:
            give_back(arena)
        self._put_all(buffers, put)
        return received

    cdef int _read_pooled(self, Arena arena, int count, get, list buffers) except -1:
        """Fills `buffers` from a pool, and reads into them. Returns the number of reads."""
        cdef Py_buffer views[SLOTS]
        cdef int slot, aimed = 0, got = -1, number = 0
        try:
            for slot in range(count):
                buffer = get()
                buffers.append(buffer)
                PyObject_GetBuffer(buffer, &views[slot], PyBUF_WRITABLE)
                aimed += 1
                arena.aim(slot, views[slot].buf, views[slot].len)
                arena.slots[slot].drops = 0
            if self.holes is not None:
                self.holes.look()
            got = arena.read(
                self._fd, count, self._info_reader is not None or self.holes is not None,
                self._info_reader is not None,
            )
            number = errno
        finally:
            for slot in range(aimed):
                PyBuffer_Release(&views[slot])
        self.more = got > 0
        # If few datagrams come, few buffers are taken in vain.
        self._pooled = max(1, min(SLOTS, count * 2) if got == count else got)
        if got < 0 and number != EAGAIN:
            raise OSError(number, os.strerror(number))
        self._short = got < count
        return max(0, got)

    cdef int _take_admitted(self, Arena arena, int got, list buffers, list received) except -1:
        """Moves the buffers of admitted datagrams from `buffers` to `received`."""
        cdef Admission admission = self.admission
        cdef list left = []
        cdef long long size = 0, truncated = 0
        cdef Py_ssize_t kept, all = 1
        cdef Slot* slot
        cdef int number
        for number in range(got):
            slot = &arena.slots[number]
            kept = 1
            if self.holes is not None:
                kept = admitted_noting(admission, slot, &all, self.holes, self._info_reader is not None)
            elif admission is not None and (fitting(admission, slot) == 0 or admitted(admission, slot, 1) == 0):
                kept = 0
            if kept == 0:
                left.append(buffers[number])
                continue
            if self.budget is not None:
                hear(self.budget, slot, slot.length)
            received.append((
                buffers[number], slot.length, PEERS.address(&slot.peer, slot.place), slot.truncated,
                None if self._info_reader is None else self._info_reader.info(slot),
            ))
            size += slot.length
            truncated += slot.truncated
        buffers[:got] = left
        if self.holes is not None and self._short:
            self.holes.emptied()
        self.packets_in += len(received)
        self.bytes_in += size
        self.truncated += truncated
        return 0

    cdef int _put_all(self, list buffers, put) except -1:
        for buffer in buffers:  # which stay in the list: even to shorten it may take memory
            try:
                put(buffer)
            except MemoryError:  # or what was received would be lost
                put(buffer)
        return 0
