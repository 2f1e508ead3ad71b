from .outbox cimport Outbox

cdef extern from "<netinet/in.h>":
    enum:
        AF_INET

cdef bint sets(object sock, int option, int value)


cdef class Sender:
    cdef int _fd, _family  # the latter as `address.family_of`
    cdef Py_ssize_t _gso_limit  # the longest that joins a run; 0: the kernel takes no runs
    cdef Py_ssize_t _gso_most  # what `_gso_limit` is while the kernel has refused nothing
    cdef double _gso_again  # when a refusal is forgotten
    cdef Outbox _outbox
    cdef object _own  # recognizes the socket's own address
    cdef int _own_port  # as it is on the wire
    cdef readonly long long packets_out, bytes_out
    cdef public object retry

    cdef int serve(self, sock, bint gso) except -1
    cdef int let_run(self, sock, bint gso) except -1
    cdef Py_ssize_t _send_many(self, Outbox outbox, list messages, list failures) except -1
    cdef void _run_refused(self, Py_ssize_t segment, int number) noexcept
