from libc.stdint cimport uint16_t, uint32_t

from .base cimport Backend
from .outbox cimport Outbox

cdef extern from "<netinet/in.h>":
    enum:
        AF_INET

cdef bint sets(object sock, int option, int value)


cdef class Sender(Backend):
    cdef int _fd, _family  # `_family` as `address.family_of` returns it
    cdef Py_ssize_t _gso_limit  # the longest datagram that joins a run; 0: the kernel accepts no runs
    cdef Py_ssize_t _gso_most  # `_gso_limit` while the kernel has refused no run
    cdef double _gso_again  # when a refusal is forgotten
    cdef Outbox _outbox
    cdef object _own  # recognizes the socket's own address
    cdef int _own_port  # in network order

    cdef int serve(self, sock, bint gso) except -1
    cdef int let_run(self, sock, bint gso) except -1
    cdef Py_ssize_t _send_many(self, Outbox outbox, list messages, list failures) except -1
    cdef Py_ssize_t _send_columns(
        self, Outbox outbox, list addresses, const uint16_t[::1] place, const uint32_t[::1] length, bytes data
    ) except -1
    cdef (Py_ssize_t, Py_ssize_t) _run_of(
        self, const uint16_t* place, const uint32_t* length, Py_ssize_t index, Py_ssize_t count
    ) noexcept
    cdef void _run_refused(self, Py_ssize_t segment, int number) noexcept
