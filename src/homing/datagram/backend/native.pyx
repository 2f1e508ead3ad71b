"""The native backend: recvmmsg(2) and sendmmsg(2), trains of datagrams split and joined by the kernel, messages made
in C. Linux only. The same contract as `portable`."""

import os
import socket
from time import monotonic

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, EINVAL, EIO, EMSGSIZE, errno
from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memcpy

from ..address import family_of
from ..policy.admission cimport Admission
from .arena cimport SLOTS, Arena, Slot, InfoReader, give_back, take
from ..message cimport MessageUDP, PacketInfo
from .outbox cimport Outbox
from .peers cimport PEERS, Key, number_of, same
from .system cimport SOL_UDP, UDP_GRO, UDP_SEGMENT

cdef extern from "<netinet/in.h>":
    cdef enum:
        AF_INET

cdef enum:
    # Of trains of 64 datagrams not 64 are read at a stretch, but so many as make so many datagrams. 512 messages: 256 cost
    # 5 % more, 1024 as much, and delay the others. 2048 in columns: the work of numpy's calls is shared by more; 512 cost
    # a fifth more. A mebibyte: what it becomes still lies in the cache; four cost 10 % more (trains of 1200 bytes each).
    MESSAGES = 512
    COLUMNS = 2048
    MOST_BYTES = 1 << 20
    ALL_LENGTHS = 65535
    FORGET = 600  # seconds until a run is tried again that was refused: as long as Linux remembers the length of a path


def probe():
    """Why this system has no recvmmsg(2) or sendmmsg(2) for us (an old kernel, a container's filter); "" if it has."""
    # Asked for nothing, they need no network that is up, and no firewall has a say.
    cdef Arena arena = Arena()
    cdef Outbox outbox = Outbox()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if arena.read(sock.fileno(), 0, False, False) < 0:
            return f"recvmmsg: {os.strerror(errno)}"
        if outbox.send(sock.fileno()) < 0:
            return f"sendmmsg: {os.strerror(errno)}"
    return ""


cdef bint _sets(object sock, int option, int value):
    try:
        sock.setsockopt(SOL_UDP, option, value)
    except OSError:
        return False
    return True


cdef class NativeBackend:
    """Receives and sends on one non-blocking socket. Implements `contract.Backend`."""

    name = "native"

    cdef int _fd, _family  # the latter as `address.family_of`
    cdef Py_ssize_t _size  # the longest datagram that is accepted
    cdef Py_ssize_t _gso_limit  # the longest that joins a run; 0: the kernel takes no runs
    cdef Py_ssize_t _gso_most  # what `_gso_limit` is while the kernel has refused nothing
    cdef double _gso_again  # when a refusal is forgotten
    cdef double _train, _read_size  # datagrams and bytes that a read of the kernel's brought, the last time
    cdef int _pooled  # buffers to take from a pool for a read
    cdef Arena _arena  # what was read and not handed out yet: from `_offset` in the slot `_slot` on
    cdef int _slot, _filled
    cdef Py_ssize_t _offset
    cdef Outbox _outbox
    cdef public Admission admission  # None: whatever comes becomes a message
    cdef InfoReader _info_reader  # None: nothing is asked for but the datagrams
    cdef readonly Py_ssize_t waiting
    cdef readonly bint more, gro
    cdef readonly long long packets_in, bytes_in, truncated, packets_out, bytes_out
    cdef public object retry

    def __init__(self, sock, Py_ssize_t buffer_size, bint gro, bint gso, bint info):
        self._fd = sock.fileno()
        self._family = family_of(sock)
        self._size = buffer_size
        self._train = 1.0
        self._read_size = 0.0
        self._pooled = 1
        self._info_reader = InfoReader() if info else None
        self.gro = _sets(sock, UDP_GRO, gro) and gro  # a socket that was inherited may have it set
        self._gso_limit = self._gso_most = ALL_LENGTHS if gso and _sets(sock, UDP_SEGMENT, 0) else 0

    @property
    def gso(self):
        """False once the kernel has refused to take runs."""
        return self._gso_limit > 0

    def close(self):
        self._fd = -1  # a descriptor of this number may soon be somebody else's
        self.waiting = 0
        if self._arena is not None:
            give_back(self._arena)
            self._arena = None

    def join(self, sock):
        self.gro = _sets(sock, UDP_GRO, 1)

    # --- receiving ----------------------------------------------------------------------------------------

    def receive(self, Py_ssize_t limit, int reads, id):
        cdef list messages = []
        cdef Py_ssize_t length, left
        cdef Slot* slot
        cdef MessageUDP message
        cdef Key last
        cdef PacketInfo info = None
        cdef object address = None
        cdef bytes data
        cdef bint cut
        if self._arena is None and not self._read(limit if limit < reads else reads, MESSAGES):
            return messages
        while self._slot < self._filled and limit > 0:
            slot = &self._arena.slots[self._slot]
            if address is None or not same(&last, &slot.peer):
                last = slot.peer
                address = PEERS.address(&last, slot.place)
            if self._info_reader is not None:
                info = self._info_reader.info(slot)
            while limit > 0:
                left = slot.length - self._offset
                length = slot.segment if slot.segment < left else left
                cut = slot.truncated or length > self._size
                data = PyBytes_FromStringAndSize(
                    slot.start + self._offset, self._size if length > self._size else length
                )
                message = MessageUDP.__new__(MessageUDP)
                message.id = id
                message.addr = address
                message.data = data
                message.truncated = cut
                if info is not None:
                    message.info = info
                messages.append(message)
                self.bytes_in += len(data)
                self.truncated += cut
                limit -= 1
                self._offset += length
                if self._offset >= slot.length:
                    self._slot += 1
                    self._offset = 0
                    break
        self.packets_in += len(messages)
        self.waiting -= len(messages)
        if self._slot == self._filled:
            give_back(self._arena)
            self._arena = None
        return messages

    cdef int _read(self, Py_ssize_t reads, int wanted) except -1:
        """Fills an arena, with about `wanted` datagrams if trains come. Returns how many reads that were."""
        cdef Arena arena = take()
        cdef int slot, got, number, count = <int> min(reads, SLOTS)
        if self._train > 1.0:
            count = <int> max(1.0, min(count, wanted / self._train, MOST_BYTES / self._read_size))
        cdef Py_ssize_t datagrams = 0, size = 0
        arena.aim_inside(count)
        got = arena.read(self._fd, count, self.gro or self._info_reader is not None, self._info_reader is not None)
        number = errno
        self.more = got > 0  # to ask once more costs less than to go through the loop for what came meanwhile
        if got <= 0:
            give_back(arena)
            if got < 0 and number != EAGAIN:
                raise OSError(number, os.strerror(number))
            return 0
        for slot in range(got):
            size += arena.slots[slot].length
            datagrams += _datagrams(&arena.slots[slot])
        self._train = datagrams / <double> got
        self._read_size = max(1.0, size / <double> got)
        if self.admission is not None:
            datagrams = _admit(self.admission, arena, &got)
            if got == 0:
                give_back(arena)
                return 0
        self._arena = arena
        self._filled = got
        self._slot = 0
        self._offset = 0
        self.waiting = datagrams
        return got

    def receive_columns(self, int reads):
        # The arena is the caller's until its `done` is called.
        cdef Arena arena
        cdef Slot* slot
        cdef Py_ssize_t length, left, index = 0, total = 0
        cdef int host_size = 4 if self._family == AF_INET else 16
        cdef bytes offsets, lengths, hosts, ports
        cdef int* offset
        cdef int* size
        cdef char* host
        cdef uint16_t* port
        cdef uint16_t swapped
        cdef list firsts = [], addresses = [], infos = [], cut = []
        if self._arena is None and not self._read(reads, COLUMNS):
            return None
        arena = self._arena
        offsets = PyBytes_FromStringAndSize(NULL, self.waiting * sizeof(int))
        lengths = PyBytes_FromStringAndSize(NULL, self.waiting * sizeof(int))
        hosts = PyBytes_FromStringAndSize(NULL, self.waiting * host_size)
        ports = PyBytes_FromStringAndSize(NULL, self.waiting * sizeof(uint16_t))
        offset = <int*> PyBytes_AS_STRING(offsets)
        size = <int*> PyBytes_AS_STRING(lengths)
        host = PyBytes_AS_STRING(hosts)
        port = <uint16_t*> PyBytes_AS_STRING(ports)
        while self._slot < self._filled:
            slot = &arena.slots[self._slot]
            firsts.append(index)
            addresses.append(PEERS.address(&slot.peer, slot.place))
            if self._info_reader is not None:
                infos.append(self._info_reader.info(slot))
            swapped = (slot.peer.words[0] >> 16) & 0xFFFF
            swapped = (swapped >> 8) | (swapped << 8)
            while True:
                left = slot.length - self._offset
                length = slot.segment if slot.segment < left else left
                offset[index] = <int> (slot.start + self._offset - arena._memory)
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
                self._offset += length
                if self._offset >= slot.length:
                    break
            self._slot += 1
            self._offset = 0
        self.packets_in += index
        self.bytes_in += total
        self.truncated += len(cut)
        self.waiting = 0
        self._arena = None
        return arena, arena.done, total, offsets, lengths, hosts, ports, firsts, addresses, infos, cut

    def receive_pooled(self, Py_ssize_t limit, get, put):
        cdef Arena arena
        cdef Py_buffer views[SLOTS]
        cdef list buffers = [], received = []
        cdef int slot, aimed = 0, got = -1, number, count = min(<int> limit, self._pooled)
        arena = take()
        try:
            for slot in range(count):
                buffer = get()
                buffers.append(buffer)
                PyObject_GetBuffer(buffer, &views[slot], PyBUF_WRITABLE)
                aimed += 1
                arena.aim(slot, views[slot].buf, views[slot].len)
            got = arena.read(self._fd, count, self._info_reader is not None, self._info_reader is not None)
            number = errno
        finally:
            for slot in range(aimed):
                PyBuffer_Release(&views[slot])
            for buffer in buffers[max(got, 0):]:
                put(buffer)
        self.more = got > 0
        # Where few come, few are taken for nothing.
        self._pooled = max(1, min(SLOTS, count * 2) if got == count else got)
        if got < 0 and number != EAGAIN:
            raise OSError(number, os.strerror(number))
        if self.admission is not None:
            self.admission.look_at_clock()
        for slot in range(got):
            if self.admission is not None and _admitted(self.admission, &arena.slots[slot]) == 0:
                put(buffers[slot])
                continue
            received.append((
                buffers[slot], arena.slots[slot].length, PEERS.address(&arena.slots[slot].peer, arena.slots[slot].place),
                arena.slots[slot].truncated, None if self._info_reader is None else self._info_reader.info(&arena.slots[slot]),
            ))
            self.bytes_in += arena.slots[slot].length
            self.truncated += arena.slots[slot].truncated
        self.packets_in += len(received)
        give_back(arena)
        return received

    # --- sending ------------------------------------------------------------------------------------------

    def send(self, MessageUDP message not None):
        cdef list failures = []
        cdef long long before = self.bytes_out
        if self.send_many([message], failures) == 0:
            raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
        if failures:
            raise failures[0][1]
        return self.bytes_out - before

    def send_many(self, list messages not None, list failures not None):
        cdef Py_ssize_t start = 0, count = len(messages), index
        cdef Py_ssize_t alone = 0  # those before this go without joining: the kernel has refused them as a run
        cdef Py_ssize_t suspect = 0  # the length of the run that was refused, until it is known whether that was why
        cdef int entry, sent, number, refusal = 0, tries = 0
        cdef Outbox outbox = self._outbox
        cdef MessageUDP message
        if outbox is None:
            outbox = self._outbox = Outbox()
        if self._gso_limit != self._gso_most and monotonic() >= self._gso_again:
            self._gso_limit = self._gso_most
        while start < count:
            index = start
            try:
                while index < count:
                    message = messages[index]
                    if not outbox.add(self._family, message, index, 0 if index < alone else self._gso_limit):
                        break
                    index += 1
            except Exception as error:
                if index == start:
                    failures.append((index, error))
                    start += 1
                    continue
            sent = outbox.send(self._fd)
            number = errno
            for entry in range(max(sent, 0)):
                self.packets_out += outbox.entries[entry].count
                self.bytes_out += outbox.entries[entry].total
                start += outbox.entries[entry].count
            if sent > 0:
                tries = 0
            if sent > 0 and suspect:
                self._run_refused(suspect, refusal)  # alone they go
                suspect = 0
            if sent < 0 and number == EAGAIN:
                outbox.clear()
                break
            if sent < 0 and self.retry is not None and self.retry(number, tries):
                tries += 1
                outbox.clear()
                continue
            if sent < 0 and outbox.entries[0].count > 1:
                alone = start + outbox.entries[0].count
                suspect = outbox.entries[0].segment
                refusal = number
            elif sent < 0:
                failures.append((start, OSError(number, os.strerror(number))))
                start += 1
                suspect = tries = 0
            outbox.clear()
        return start

    cdef void _run_refused(self, Py_ssize_t segment, int number) noexcept:
        """The kernel refused a run although it takes its datagrams one by one, see udp(7)."""
        self._gso_again = monotonic() + FORGET
        if number == EIO:
            self._gso_limit = 0  # the way out cannot split it
        elif number == EINVAL or number == EMSGSIZE:
            self._gso_limit = min(self._gso_limit, segment - 1)  # longer than a packet may be on that path


cdef Py_ssize_t _admit(Admission admission, Arena arena, int* got) except -1:
    """Removes the datagrams that are not admitted from an arena, the first `got` slots of which were read. Returns the
    number of datagrams that are left."""
    cdef int slot, kept = 0
    cdef Py_ssize_t count, datagrams = 0
    admission.look_at_clock()
    for slot in range(got[0]):
        count = _admitted(admission, &arena.slots[slot])
        if count == 0:
            continue
        if count < _datagrams(&arena.slots[slot]):
            arena.slots[slot].length = count * arena.slots[slot].segment
        if kept < slot:
            arena.slots[kept] = arena.slots[slot]
        kept += 1
        datagrams += count
    got[0] = kept
    return datagrams


cdef inline Py_ssize_t _admitted(Admission admission, Slot* slot) except -1:
    cdef uint64_t high, low
    cdef bint four = number_of(&slot.peer, &high, &low)
    return admission.admit(four, high, low, _datagrams(slot))


cdef inline Py_ssize_t _datagrams(Slot* slot) noexcept nogil:
    return (slot.length + slot.segment - 1) // slot.segment if slot.length and slot.segment else 1
