cimport cython

from ..link_outbox cimport Outbox
from .columns cimport cut_by_size, gathered_size, pack

cdef Py_ssize_t _PART, _BESIDE, _MOST


cdef class Outflow:
    cdef object _exchange, _server, _ready, _link, _parts
    cdef Outbox _outbox
    cdef list _gathered
    cdef Py_ssize_t _gathered_bytes, _low
    cdef long long _bytes, _taken
    cdef public bint closed, waits
    cdef public double last
    cdef public object node, number, to
    cdef public Py_ssize_t window, most_bytes
    cdef public long long sent, total, lost, unfit

    cdef long long _under_way(self) except? -1
    cdef long long _left(self) except? -1

    @cython.locals(left=cython.longlong)
    cpdef long long room(self) except -1

    @cython.locals(size=Py_ssize_t, count=Py_ssize_t)
    cpdef Py_ssize_t put(self, list messages) except -1

    cdef bint _has_room(self) except -1

    @cython.locals(part=list, done=Py_ssize_t)
    cdef Py_ssize_t _put_now(self, list messages) except -1

    @cython.locals(messages=list, part=list)
    cpdef send_gathered(self)

    cdef list _forget_gathered(self)
    cdef list _parts_of(self, list messages)

    @cython.locals(count=Py_ssize_t, size=Py_ssize_t)
    cdef _send(self, list part)
