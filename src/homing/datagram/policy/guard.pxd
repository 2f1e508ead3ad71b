cimport cython

from ..message cimport MessageUDP

cdef double _HEADERS, _ROUNDING


cdef class _Peer:
    cdef double bytes
    cdef double full_at


cdef class Guard:
    cdef public long long refused
    cdef public bint counts_bytes
    cdef object _options, _clock
    cdef dict _peers
    cdef double _rate, _burst, _amplification
    cdef Py_ssize_t _capacity

    @cython.locals(peer=_Peer)
    cpdef apply(self, options)

    @cython.locals(peer=_Peer)
    cpdef heard(self, address, Py_ssize_t size)

    @cython.locals(peer=_Peer, size=double, now=double, full_at=double)
    cpdef bint admits(self, MessageUDP message) except -1
