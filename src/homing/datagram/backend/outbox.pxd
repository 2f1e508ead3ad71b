from cpython.object cimport PyObject
from libc.stdint cimport uint16_t

from ..message cimport MessageUDP
from .peers cimport Key
from .system cimport iovec, mmsghdr

cdef enum:
    ENTRIES = 64
    VECTORS = 512
    RUN = 64  # datagrams of a run: UDP_MAX_SEGMENTS of kernels before 6.10
    RUN_BYTES = 65000  # with headers below the 65535 of an IP packet


ctypedef struct Entry:
    # One message of a sendmmsg: `count` datagrams to one peer, from the number `first` on.
    Key peer
    Py_ssize_t first
    int count
    Py_ssize_t segment
    Py_ssize_t total
    bint closed
    bint whole  # its datagrams stand one behind the other in memory: they are one vector
    int marks  # bytes of control messages that each of the datagrams is sent with


cdef class Outbox:
    cdef mmsghdr* _headers
    cdef iovec* _vectors
    cdef char* _names
    cdef char* _controls
    cdef Py_buffer* _buffers
    cdef bint* _borrowed
    cdef PyObject** _held
    cdef Entry entries[ENTRIES]
    cdef int count
    cdef int _filled

    cdef bint add(
        self, int family, MessageUDP message, Py_ssize_t index, Py_ssize_t gso_limit, object own, int own_port
    ) except -1
    cdef int add_run(
        self, int family, object address, char* memory, Py_ssize_t segment, int datagrams, Py_ssize_t total,
        int own_port
    ) except -1
    cdef int send(self, int fd) noexcept
    cdef void clear(self) noexcept
    cdef void _give_up(self, int place) noexcept
