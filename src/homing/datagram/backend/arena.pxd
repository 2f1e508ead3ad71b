cimport cython

from ..message cimport PacketInfo
from .peers cimport Key
from .system cimport iovec, mmsghdr

cdef enum:
    SLOTS = 64
    SLOT_SIZE = 65536


ctypedef struct PacketFields:
    # The fields of a packet that the kernel has reported, except the time. Compared as bytes: clear it before use.
    int family  # of the addresses; 0: there are none
    int interface
    int tos  # -1: not reported
    int ttl
    bint has_local
    bint has_group
    unsigned char local[16]
    unsigned char group[16]


ctypedef struct Slot:
    # The result of one read: `length` bytes at `start` from `peer`, one datagram or several of `segment` bytes. `read`
    # ensures that the bytes are inside the target memory and that `segment` is at least 1.
    Key peer
    int place  # of the peer in `peers`
    char* start
    Py_ssize_t length
    Py_ssize_t segment
    bint truncated
    PacketFields fields  # if they were requested
    long long timestamp  # nanoseconds; -1: not reported
    unsigned int drops  # before it, as the kernel counts them; set only if the caller has cleared it before the read


cdef class Arena:
    cdef char* _memory
    cdef size_t _size
    cdef mmsghdr* _headers
    cdef iovec* _vectors
    cdef char* _names
    cdef char* _controls
    cdef readonly int exports
    cdef int _inside  # slots that are aimed at the arena's own memory
    cdef int _used  # headers changed by the last read
    cdef bint _ancillary
    cdef bint _lent  # between `take` and `give_back`
    cdef int cut_trains  # of the last read
    cdef Slot slots[SLOTS]

    cdef void aim(self, int slot, void* memory, size_t size) noexcept
    cdef int aim_inside(self, int count) except -1
    cdef int read(self, int fd, int count, bint ancillary, bint info) noexcept
    cdef int _read_one(self, int fd) noexcept
    cdef bint is_ready(self, bint ancillary) noexcept
    cdef ssize_t read_alone(self, int fd) noexcept
    cdef Py_ssize_t take_alone(self, ssize_t length) noexcept
    cdef void _take_in(self, int got, bint info) noexcept
    cdef void tell_nothing(self, int count) noexcept


cdef class InfoReader:
    cdef PacketFields _fields
    cdef long long _timestamp
    cdef PacketInfo _last

    cdef PacketInfo info(self, const Slot* slot)


cdef Arena take()
cdef void give_back(Arena arena) noexcept


@cython.cdivision(True)
cdef inline Py_ssize_t datagrams_from(const Slot* slot, Py_ssize_t offset) noexcept nogil:
    # Returns the number of datagrams in a slot from `offset` on, used to allocate columns, make messages and charge
    # sources. A slot holds at least one datagram, which may be empty.
    cdef Py_ssize_t left = slot.length - offset
    return 1 if left <= slot.segment else (left + slot.segment - 1) // slot.segment
