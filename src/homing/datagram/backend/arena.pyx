"""The arena: the memory that datagrams are read into, and recvmmsg(2) with all that it needs.

64 slots of 64 KiB, the longest possible result of a read (a datagram, or a train of datagrams that the kernel has
joined, udp(7) UDP_GRO). Memory that was never read into costs nothing. All servers of the program share the arenas: an
arena is taken for a read and returned as soon as its datagrams were copied out, so usually only one exists.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ..message cimport PacketInfo, packet_info
from .peers cimport PEERS, Key, key_of, same
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
    MSG_TRUNC,
    SO_RXQ_OVFL,
    SO_TIMESTAMPNS,
    SOL_SOCKET,
    SOL_UDP,
    UDP_GRO,
    cmsghdr,
    in6_pktinfo,
    in_pktinfo,
    msghdr,
    recvmmsg,
    recvmsg,
    timespec,
)

cdef extern from "<sys/mman.h>" nogil:
    cdef enum:
        PROT_READ
        PROT_WRITE
        MAP_PRIVATE
        MAP_ANONYMOUS
        MAP_NORESERVE
    void* MAP_FAILED
    void* mmap(void* address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t length)

cdef extern from "<arpa/inet.h>" nogil:
    cdef enum:
        AF_INET
        AF_INET6
    const char* inet_ntop(int family, const void* source, char* text, unsigned int size)

cdef const unsigned char* NOWHERE = b"\0\0\0\0"
cdef const unsigned char* MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"  # the beginning of an IPv4 address in IPv6

cdef enum:
    STRIDE = 65536 + 3 * 64  # an odd number of cache lines: heads of slots must not all compete for the same few places
    NAME = 32  # room for a sockaddr_in6, aligned
    CONTROL = 256  # room for the ancillary data of a read: all that is asked for takes 176 bytes
    FEW = 8  # reads for which the interpreter's lock is kept: a few microseconds
    IDLE = 4  # most unused arenas that are kept
    SHORT_NAME = 16  # bytes of a sockaddr_in
    LONG_NAME = 28  # bytes of a sockaddr_in6

cdef long long LAST_SECOND = 9223372036  # nanoseconds since 1970 fit into 64 bits until then

cdef list _idle = []
cdef Arena _spare = None  # one more that is idle: usually there is no need for others


cdef Arena take():
    """Returns an unused arena."""
    global _spare
    cdef Arena arena = _spare
    if arena is not None:
        _spare = None
        if arena.exports == 0:
            arena._lent = True
            return arena
    while _idle:
        arena = _idle.pop()
        if arena.exports == 0:  # an arena with exported buffers may still be read by its holder
            arena._lent = True
            return arena
    arena = Arena()
    arena._lent = True
    return arena


cdef void give_back(Arena arena) noexcept:
    """Keeps an arena for the next read, unless a buffer of it is still exported. A second call does nothing."""
    global _spare
    if arena._lent:
        arena._lent = False
        if arena.exports == 0 and _spare is None:
            _spare = arena
        elif arena.exports == 0 and len(_idle) < IDLE:
            _idle.append(arena)


cdef class Arena:
    """Memory for one read of up to 64 slots. A read-only buffer for Python: `exports` counts its views."""

    def __cinit__(self):
        cdef int slot
        self._size = SLOTS * STRIDE
        self._inside = 0
        self._used = SLOTS
        self._ancillary = False
        self._memory = NULL  # until it is aimed inside: with a buffer pool it never is
        self._headers = <mmsghdr*> calloc(SLOTS, sizeof(mmsghdr))
        self._vectors = <iovec*> calloc(SLOTS, sizeof(iovec))
        self._names = <char*> calloc(SLOTS, NAME)
        self._controls = <char*> calloc(SLOTS, CONTROL)
        if self._headers == NULL or self._vectors == NULL or self._names == NULL or self._controls == NULL:
            raise MemoryError()
        for slot in range(SLOTS):
            self._headers[slot].msg_hdr.msg_name = self._names + slot * NAME
            self._headers[slot].msg_hdr.msg_iov = &self._vectors[slot]
            self._headers[slot].msg_hdr.msg_iovlen = 1

    def __dealloc__(self):
        free(self._headers)
        free(self._vectors)
        free(self._names)
        free(self._controls)
        if self._memory != NULL:
            munmap(self._memory, self._size)

    def __getbuffer__(self, Py_buffer* view, int flags):
        if self._memory == NULL:
            raise BufferError("nothing was read into this arena")
        PyBuffer_FillInfo(view, self, self._memory, self._size, True, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer* view):
        self.exports -= 1

    def done(self):
        """Ends the use of the datagrams that were read."""
        give_back(self)

    cdef void aim(self, int slot, void* memory, size_t size) noexcept:
        """Makes the next read put its result for `slot` there."""
        self._inside = min(self._inside, slot)
        self._vectors[slot].iov_base = memory
        self._vectors[slot].iov_len = size

    cdef int aim_inside(self, int count) except -1:
        """Makes the next read put its results into the arena's own memory."""
        cdef void* memory
        cdef int slot
        if self._memory == NULL:
            memory = mmap(
                NULL, self._size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0
            )
            if memory == MAP_FAILED:
                raise MemoryError("no memory for a receive arena of 4 MiB")
            self._memory = <char*> memory
        for slot in range(self._inside, count):
            self._vectors[slot].iov_base = self._memory + slot * <size_t> STRIDE
            self._vectors[slot].iov_len = SLOT_SIZE
        self._inside = max(self._inside, count)
        return 0

    cdef int read(self, int fd, int count, bint ancillary, bint info) noexcept:
        """Reads waiting datagrams into up to `count` slots, and returns how many; or -1, with `errno`. Never waits.

        ancillary: there may be ancillary data. info: store it in `Slot.fields`.
        """
        cdef int slot, got
        cdef msghdr* header
        count = max(0, min(count, SLOTS))
        for slot in range(SLOTS if ancillary != self._ancillary else self._used):  # headers changed by the last read
            header = &self._headers[slot].msg_hdr
            header.msg_namelen = NAME
            header.msg_control = self._controls + slot * CONTROL if ancillary else NULL
            header.msg_controllen = CONTROL if ancillary else 0
        if count == 1:  # recvmsg(2) costs less
            got = self._read_one(fd)
        elif count <= FEW:  # over before another thread could use the interpreter's lock
            got = recvmmsg(fd, self._headers, count, MSG_DONTWAIT, NULL)
            while got < 0 and errno == EINTR:
                got = recvmmsg(fd, self._headers, count, MSG_DONTWAIT, NULL)
        else:
            with nogil:
                got = recvmmsg(fd, self._headers, count, MSG_DONTWAIT, NULL)
                while got < 0 and errno == EINTR:
                    got = recvmmsg(fd, self._headers, count, MSG_DONTWAIT, NULL)
        got = min(got, count)
        self._ancillary = ancillary
        self._used = max(got, 0)
        self._take_in(got, info)
        return got

    cdef bint is_ready(self, bint ancillary) noexcept:
        """Returns True if `read_alone` may be called: the first slot alone was used since, or none."""
        return self._used <= 1 and self._inside > 0 and self._ancillary == ancillary

    cdef ssize_t read_alone(self, int fd) noexcept:
        """Reads as `read` does into the first slot, which `is_ready`. Returns the datagram's length; or -1, with `errno`.
        `take_alone` is to be called next."""
        cdef msghdr* header = &self._headers[0].msg_hdr
        cdef ssize_t length
        header.msg_namelen = NAME
        header.msg_controllen = CONTROL if self._ancillary else 0
        self._used = 1
        length = recvmsg(fd, header, MSG_DONTWAIT)
        while length < 0 and errno == EINTR:
            length = recvmsg(fd, header, MSG_DONTWAIT)
        return length

    cdef Py_ssize_t take_alone(self, ssize_t length) noexcept:
        """Fills the first slot after `read_alone`. Returns how many datagrams it holds."""
        cdef msghdr* header = &self._headers[0].msg_hdr
        cdef Slot* slot = self.slots
        if header.msg_controllen or header.msg_flags or length > SLOT_SIZE or header.msg_namelen < SHORT_NAME:
            self._headers[0].msg_len = <unsigned int> length
            self._take_in(1, False)
            return datagrams_from(slot, 0)
        self.cut_trains = 0
        slot.peer = _source(header)
        slot.place = PEERS.place(&slot.peer)
        slot.start = <char*> self._vectors[0].iov_base
        slot.length = length
        slot.segment = max(<Py_ssize_t> 1, length)
        slot.truncated = False
        return 1

    cdef void _take_in(self, int got, bint info) noexcept:
        """Fills the slots of the last read."""
        cdef int slot
        cdef size_t length
        cdef msghdr* header
        self.cut_trains = 0
        for slot in range(got):
            header = &self._headers[slot].msg_hdr
            self.slots[slot].peer = _source(header)
            if slot > 0 and same(&self.slots[slot].peer, &self.slots[slot - 1].peer):
                self.slots[slot].place = self.slots[slot - 1].place
            else:
                self.slots[slot].place = PEERS.place(&self.slots[slot].peer)
            self.slots[slot].start = <char*> self._vectors[slot].iov_base
            # Clamps the system's numbers, so that none leads out of the arena's memory.
            length = min(<size_t> self._headers[slot].msg_len, self._vectors[slot].iov_len)
            self.slots[slot].length = length
            self.slots[slot].segment = max(<size_t> 1, length)
            self.slots[slot].truncated = (header.msg_flags & MSG_TRUNC) != 0 or length < self._headers[slot].msg_len
            if info:
                _tell_nothing(&self.slots[slot])
            if self._ancillary and header.msg_controllen:
                self.cut_trains += _take_ancillary(header, &self.slots[slot])
        if got > 1:
            for slot in range(got):
                PEERS.expect(self.slots[slot].place)

    cdef int _read_one(self, int fd) noexcept:
        """Reads one datagram into the first slot. Returns 1; or -1, with `errno`."""
        cdef ssize_t length = recvmsg(fd, &self._headers[0].msg_hdr, MSG_DONTWAIT)
        while length < 0 and errno == EINTR:
            length = recvmsg(fd, &self._headers[0].msg_hdr, MSG_DONTWAIT)
        if length < 0:
            return -1
        self._headers[0].msg_len = <unsigned int> length
        return 1

    cdef void tell_nothing(self, int count) noexcept:
        """Makes the infos of the first `count` slots empty."""
        cdef int slot
        for slot in range(max(0, min(count, SLOTS))):
            _tell_nothing(&self.slots[slot])


cdef inline Key _source(const msghdr* header) noexcept nogil:
    """Returns the key of a datagram's source; the key of no address if the source is missing or incomplete."""
    cdef char* name = <char*> header.msg_name
    if header.msg_namelen < LONG_NAME and (header.msg_namelen < SHORT_NAME or (<uint16_t*> name)[0] != AF_INET):
        memset(name, 0, NAME)
    return key_of(name)


cdef void _tell_nothing(Slot* slot) noexcept nogil:
    memset(&slot.fields, 0, sizeof(PacketFields))
    slot.fields.tos = slot.fields.ttl = -1
    slot.timestamp = -1


cdef bint _take_ancillary(const msghdr* header, Slot* slot) noexcept nogil:
    """Reads ancillary data, see cmsg(3). Skips unknown and truncated entries (MSG_CTRUNC), and rejects lengths that lead
    out of the memory.

    Returns True if a train was cut: the kernel never delivers a train of one datagram, so a program attached to the
    socket has shortened it to its first datagram, or less.
    """
    cdef size_t size = min(header.msg_controllen, <size_t> CONTROL), offset = 0, length
    cdef cmsghdr* entry
    cdef int segment
    cdef bint cut = False
    while size - offset >= CMSG_LEN(0):
        entry = <cmsghdr*> (<char*> header.msg_control + offset)
        length = entry.cmsg_len
        if length < CMSG_LEN(0) or length > size - offset:
            break
        if entry.cmsg_level == IPPROTO_IP:
            _take_ipv4(entry, &slot.fields)
        elif entry.cmsg_level == IPPROTO_IPV6:
            _take_ipv6(entry, &slot.fields)
        elif entry.cmsg_level == SOL_UDP and entry.cmsg_type == UDP_GRO:
            segment = _integer(entry, 0)
            if 0 < segment < slot.length:
                slot.segment = segment
            elif segment > 0:
                cut = True
        elif entry.cmsg_level == SOL_SOCKET and entry.cmsg_type == SO_TIMESTAMPNS:
            _take_time(entry, slot)
        elif entry.cmsg_level == SOL_SOCKET and entry.cmsg_type == SO_RXQ_OVFL:
            slot.drops = <unsigned int> _integer(entry, 0)
        length = CMSG_SPACE(length - CMSG_LEN(0))  # including the padding
        if length > size - offset:
            break
        offset += length
    if cut:
        slot.truncated = True
    return cut


cdef inline bint _holds(cmsghdr* entry, size_t size) noexcept nogil:
    return entry.cmsg_len >= CMSG_LEN(size)


cdef int _integer(cmsghdr* entry, int otherwise) noexcept nogil:
    cdef int value = otherwise
    if _holds(entry, sizeof(int)):
        memcpy(&value, CMSG_DATA(entry), sizeof(int))
    return value


cdef int _octet(cmsghdr* entry) noexcept nogil:
    """Returns a number from 0 to 255; -1 if the value is invalid."""
    cdef int value = _integer(entry, -1)
    return value if 0 <= value <= 255 else -1


cdef void _take_ipv4(cmsghdr* entry, PacketFields* fields) noexcept nogil:
    cdef in_pktinfo packet
    if entry.cmsg_type == IP_TOS and _holds(entry, 1):
        fields.tos = CMSG_DATA(entry)[0]
    elif entry.cmsg_type == IP_TTL:
        fields.ttl = _octet(entry)
    elif entry.cmsg_type == IP_PKTINFO and _holds(entry, sizeof(in_pktinfo)):
        memcpy(&packet, CMSG_DATA(entry), sizeof(in_pktinfo))
        fields.family = AF_INET
        fields.interface = max(0, packet.ipi_ifindex)
        memcpy(fields.local, &packet.ipi_spec_dst, 4)
        memcpy(fields.group, &packet.ipi_addr, 4)
        fields.has_local = memcmp(fields.local, NOWHERE, 4) != 0
        fields.has_group = memcmp(fields.group, fields.local, 4) != 0


cdef void _take_ipv6(cmsghdr* entry, PacketFields* fields) noexcept nogil:
    cdef in6_pktinfo packet
    if entry.cmsg_type == IPV6_TCLASS:
        fields.tos = _octet(entry)
    elif entry.cmsg_type == IPV6_HOPLIMIT:
        fields.ttl = _octet(entry)
    elif entry.cmsg_type == IPV6_PKTINFO and _holds(entry, sizeof(in6_pktinfo)):
        memcpy(&packet, CMSG_DATA(entry), sizeof(in6_pktinfo))
        if memcmp(&packet.ipi6_addr, MAPPED, 12) == 0:
            return  # for an IPv4 packet, IP_PKTINFO reports more
        fields.family = AF_INET6
        fields.interface = max(0, packet.ipi6_ifindex)
        fields.has_group = (<unsigned char*> &packet.ipi6_addr)[0] == 0xFF
        fields.has_local = not fields.has_group
        memcpy(<unsigned char*> fields.group if fields.has_group else <unsigned char*> fields.local, &packet.ipi6_addr, 16)


cdef void _take_time(cmsghdr* entry, Slot* slot) noexcept nogil:
    cdef timespec time
    if _holds(entry, sizeof(timespec)):
        memcpy(&time, CMSG_DATA(entry), sizeof(timespec))
        if 0 <= time.tv_sec < LAST_SECOND and 0 <= time.tv_nsec < 1000000000:
            slot.timestamp = <long long> time.tv_sec * 1000000000 + time.tv_nsec


cdef class InfoReader:
    """Makes the `PacketInfo` of a read. Shares equal fields with the last one: usually all but the time."""

    cdef PacketInfo info(self, const Slot* slot):
        cdef const PacketFields* fields = &slot.fields
        cdef PacketInfo last = self._last, made
        if last is not None and memcmp(fields, &self._fields, sizeof(PacketFields)) == 0:
            if slot.timestamp == self._timestamp:
                return last
            made = packet_info(last._local, fields.interface, last._group, fields.tos, fields.ttl, slot.timestamp)
        else:
            made = packet_info(
                _text(fields.family, fields.local) if fields.has_local else None, fields.interface,
                _text(fields.family, fields.group) if fields.has_group else None, fields.tos, fields.ttl, slot.timestamp,
            )
        # Making it may run finalizers, which may read from this socket too: so related fields are changed together.
        self._fields = fields[0]
        self._timestamp = slot.timestamp
        self._last = made
        return made


cdef str _text(int family, const unsigned char* address):
    cdef char text[64]
    inet_ntop(family, address, text, sizeof(text))
    return text.decode("ascii")
