"""The outbox: datagrams put together for one sendmmsg(2), with runs to one peer as one message (udp(7) UDP_SEGMENT).

64 messages and 512 datagrams at most. Measured: between 8 and 256 messages there is no difference of 5 %, for most of the
time of such a call is each message's own (2.9 us); 64 datagrams to one peer, as one message, cost 0.5 us each.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ...gen import BadOption
from ..message cimport MessageUDP, PacketInfo
from .peers cimport PEERS, same
from .system cimport (
    CMSG_DATA,
    CMSG_LEN,
    CMSG_SPACE,
    IP_PKTINFO,
    IP_TOS,
    IP_TTL,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_HOPLIMIT,
    IPV6_PKTINFO,
    IPV6_TCLASS,
    MSG_DONTWAIT,
    SOL_UDP,
    UDP_SEGMENT,
    cmsghdr,
    in6_pktinfo,
    in_pktinfo,
    msghdr,
    sendmmsg,
)

cdef extern from "<arpa/inet.h>" nogil:
    cdef enum:
        AF_INET
        AF_INET6
    int inet_pton(int family, const char* text, void* target)

cdef const unsigned char* MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"  # the beginning of an IPv4 address in IPv6

cdef enum:
    NAME = 32
    CONTROL_WORDS = 16
    CONTROL = 8 * CONTROL_WORDS  # bytes of control messages: IPv6 and a run need 112


cdef class Outbox:
    """The datagrams that the next system call sends. `entries` say which of them each of its messages has."""

    def __cinit__(self):
        cdef int entry
        self._headers = <mmsghdr*> calloc(ENTRIES, sizeof(mmsghdr))
        self._vectors = <iovec*> calloc(VECTORS, sizeof(iovec))
        self._names = <char*> calloc(ENTRIES, NAME)
        self._controls = <char*> calloc(ENTRIES, CONTROL)
        self._buffers = <Py_buffer*> calloc(VECTORS, sizeof(Py_buffer))
        self._borrowed = <bint*> calloc(VECTORS, sizeof(bint))
        self._held = <PyObject**> calloc(VECTORS, sizeof(PyObject*))
        self.count = self._filled = 0
        if (
            self._headers == NULL or self._vectors == NULL or self._names == NULL or self._controls == NULL
            or self._buffers == NULL or self._borrowed == NULL or self._held == NULL
        ):
            raise MemoryError()
        for entry in range(ENTRIES):
            self._headers[entry].msg_hdr.msg_name = self._names + entry * NAME

    def __dealloc__(self):
        if self._held != NULL:
            self.clear()
        free(self._headers)
        free(self._vectors)
        free(self._names)
        free(self._controls)
        free(self._buffers)
        free(self._borrowed)
        free(self._held)

    cdef bint add(
        self, int family, MessageUDP message, Py_ssize_t index, Py_ssize_t gso_limit, object own, int own_port
    ) except -1:
        """Adds the datagram `index`, if there is room. It joins the run before it if both have the same peer, control
        messages and length (the last may be shorter), and at most `gso_limit` bytes.

        own, own_port: an `OwnAddress`, and its port in network order.
        Raises an error for an invalid address, info or data; the datagram was then not added.
        """
        cdef object data
        cdef Py_ssize_t length
        cdef void* memory
        cdef Entry* entry = NULL
        cdef msghdr* header
        cdef Key peer
        cdef char name[NAME]
        cdef uint64_t aligned[CONTROL_WORDS]  # as a `cmsghdr` is to be
        cdef char* marks = <char*> aligned
        cdef int name_length, marked = 0, filled = self._filled
        if message is None:
            raise TypeError("None is not a datagram; give a MessageUDP")
        if filled == VECTORS:
            return False
        data = message.data
        name_length = PEERS.raw(family, message.addr, &peer, name)
        if <int> ((peer.words[0] >> 16) & 0xFFFF) == own_port and (
            self.count == 0 or not same(&self.entries[self.count - 1].peer, &peer)
        ):
            own.check(message.addr)
        if message.info is not None:
            marked = _write_marks(message.info, &peer, marks)
        if PyBytes_CheckExact(data):
            length = PyBytes_GET_SIZE(data)
            memory = <void*> PyBytes_AS_STRING(data)
        else:
            PyObject_GetBuffer(data, &self._buffers[filled], PyBUF_SIMPLE)
            length = self._buffers[filled].len
            memory = self._buffers[filled].buf
            self._borrowed[filled] = True
        if self.count > 0:
            entry = &self.entries[self.count - 1]
            if (
                entry.closed or length == 0 or length > entry.segment or length > gso_limit or entry.segment > gso_limit
                or entry.count == RUN or entry.total + length > RUN_BYTES or not same(&entry.peer, &peer)
                or entry.marks != marked
                or (marked and memcmp(self._controls + (self.count - 1) * CONTROL, marks, marked) != 0)
            ):
                entry = NULL
        if entry == NULL:
            if self.count == ENTRIES:
                self._give_up(filled)
                return False
            header = &self._headers[self.count].msg_hdr
            memcpy(header.msg_name, name, name_length)
            header.msg_namelen = name_length
            header.msg_iov = &self._vectors[filled]
            memcpy(self._controls + self.count * CONTROL, marks, marked)
            entry = &self.entries[self.count]
            entry.peer = peer
            entry.first = index
            entry.count = 0
            entry.segment = length
            entry.total = 0
            entry.marks = marked
            entry.whole = False
            self.count += 1
        entry.count += 1
        entry.total += length
        entry.closed = length < entry.segment
        self._vectors[filled].iov_base = memory
        self._vectors[filled].iov_len = length
        Py_INCREF(data)
        self._held[filled] = <PyObject*> data
        self._filled = filled + 1
        return True

    cdef int add_run(
        self, int family, object address, char* memory, Py_ssize_t segment, int datagrams, Py_ssize_t total,
        int own_port
    ) except -1:
        """Adds datagrams to one peer that stand one behind the other in memory, which must stay there until `clear`:
        each of `segment` bytes, only the last may be shorter. Not together with `add`. Returns 1; 0 if there is no
        room, or if the peer has the socket's own port, so that it may be the socket itself. Raises as `add` does."""
        cdef Key peer
        cdef msghdr* header
        cdef Entry* entry
        cdef char name[NAME]
        cdef int name_length
        if self.count == ENTRIES:
            return 0
        name_length = PEERS.raw(family, address, &peer, name)
        if <int> ((peer.words[0] >> 16) & 0xFFFF) == own_port:
            return 0
        header = &self._headers[self.count].msg_hdr
        memcpy(header.msg_name, name, name_length)
        header.msg_namelen = name_length
        header.msg_iov = &self._vectors[self.count]
        self._vectors[self.count].iov_base = memory
        self._vectors[self.count].iov_len = total
        entry = &self.entries[self.count]
        entry.peer = peer
        entry.first = 0
        entry.count = datagrams
        entry.segment = segment
        entry.total = total
        entry.closed = entry.whole = True
        entry.marks = 0
        self.count += 1
        return 1

    cdef void _give_up(self, int place) noexcept:
        if self._borrowed[place]:
            self._borrowed[place] = False
            PyBuffer_Release(&self._buffers[place])

    cdef int send(self, int fd) noexcept:
        """Passes all datagrams to the kernel. Returns how many messages it took; or -1, with `errno`. Never waits."""
        cdef int index, sent
        cdef msghdr* header
        cdef char* control
        cdef size_t length
        cdef uint16_t segment
        for index in range(self.count):
            header = &self._headers[index].msg_hdr
            header.msg_iovlen = 1 if self.entries[index].whole else self.entries[index].count
            control = self._controls + index * CONTROL
            length = self.entries[index].marks
            if self.entries[index].count > 1:
                segment = <uint16_t> self.entries[index].segment
                length += _write(control + length, SOL_UDP, UDP_SEGMENT, &segment, sizeof(uint16_t))
            header.msg_control = control if length else NULL
            header.msg_controllen = length
        with nogil:
            sent = sendmmsg(fd, self._headers, self.count, MSG_DONTWAIT)
            while sent < 0 and errno == EINTR:
                sent = sendmmsg(fd, self._headers, self.count, MSG_DONTWAIT)
        return min(sent, self.count)

    cdef void clear(self) noexcept:
        """Releases all datagrams."""
        cdef int place
        for place in range(self._filled):
            self._give_up(place)
            Py_DECREF(<object> self._held[place])
            self._held[place] = NULL
        self.count = self._filled = 0


cdef int _write_marks(object info, const Key* peer, char* control) except -1:
    """Writes the control messages that send a datagram with `info`, in the peer's family (whatever the socket's is), and
    returns their length in bytes."""
    if not isinstance(info, PacketInfo):
        raise BadOption("info", info, "give a meta.PacketInfo, or None")
    if (peer.words[0] & 0xFFFF) == AF_INET6 and memcmp(&peer.words[1], MAPPED, 12) != 0:
        return _write_ipv6(info, control)
    return _write_ipv4(info, control)


cdef int _write_ipv4(PacketInfo info, char* control) except -1:
    cdef in_pktinfo packet
    cdef int length = 0
    if info._local is not None or info._interface:
        memset(&packet, 0, sizeof(in_pktinfo))
        packet.ipi_ifindex = info._interface
        _parse(AF_INET, info._local, &packet.ipi_spec_dst)
        length += _write(control, IPPROTO_IP, IP_PKTINFO, &packet, sizeof(in_pktinfo))
    if info._tos >= 0:
        length += _write(control + length, IPPROTO_IP, IP_TOS, &info._tos, sizeof(int))
    if info._ttl >= 0:
        length += _write(control + length, IPPROTO_IP, IP_TTL, &info._ttl, sizeof(int))
    return length


cdef int _write_ipv6(PacketInfo info, char* control) except -1:
    cdef in6_pktinfo packet
    cdef int length = 0
    if info._local is not None or info._interface:
        memset(&packet, 0, sizeof(in6_pktinfo))
        packet.ipi6_ifindex = info._interface
        _parse(AF_INET6, info._local, &packet.ipi6_addr)
        length += _write(control, IPPROTO_IPV6, IPV6_PKTINFO, &packet, sizeof(in6_pktinfo))
    if info._tos >= 0:
        length += _write(control + length, IPPROTO_IPV6, IPV6_TCLASS, &info._tos, sizeof(int))
    if info._ttl >= 0:
        length += _write(control + length, IPPROTO_IPV6, IPV6_HOPLIMIT, &info._ttl, sizeof(int))
    return length


cdef int _parse(int family, object local, void* out) except -1:
    """Writes a packed address; for None the unspecified address, which leaves the choice to the route."""
    if local is not None and inet_pton(family, (<str?> local).encode("ascii"), out) != 1:
        raise BadOption("local", local, f"for this peer, give an {'IPv6' if family == AF_INET6 else 'IPv4'} address")
    return 0


cdef size_t _write(char* place, int level, int kind, const void* value, size_t size) noexcept nogil:
    """Writes a control message, see cmsg(3), and returns the room that it takes. All of it is set, as it is compared."""
    cdef cmsghdr* entry = <cmsghdr*> place
    memset(place, 0, CMSG_SPACE(size))
    entry.cmsg_level = level
    entry.cmsg_type = kind
    entry.cmsg_len = CMSG_LEN(size)
    memcpy(CMSG_DATA(entry), value, size)
    return CMSG_SPACE(size)
