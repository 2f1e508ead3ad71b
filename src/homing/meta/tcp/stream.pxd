cimport cython

from .connection cimport Connection
from .system_calls cimport receive, send_bytes

cdef bint _COMPILED
cdef Py_ssize_t _PART


cdef class Stream:
    cdef object _loop, _sock, _watch
    cdef int _fd
    cdef Connection _connection
    cdef bytearray _buffer, _left
    cdef Py_ssize_t _high, _low
    cdef bint _paused, _full, _reads, _ended, _over_due
    cdef readonly bint closing
    cdef readonly Py_ssize_t unsent

    @cython.locals(sent=Py_ssize_t)
    cpdef write(self, bytes data)

    @cython.locals(connection=Connection, count=Py_ssize_t)
    cpdef readable(self)

    @cython.locals(connection=Connection, sent=Py_ssize_t)
    cpdef writable(self)

    cdef Py_ssize_t _receive(self) except -2
    cdef Py_ssize_t _send(self, bytes data) except -2
    cdef _read(self, bint wanted)
    cdef _failed(self, error)
    cpdef _end(self, error)

    @cython.locals(connection=Connection)
    cpdef _over(self, error)
