cimport cython
from libc.stdint cimport uint32_t, uint64_t

from .networks cimport Networks


cdef Py_ssize_t _WAYS
cdef uint64_t _MASK
cdef uint64_t _WORD
cdef uint64_t _MAPPED
cdef uint64_t _SCATTER
cdef double _FOREVER
cdef double _ROUNDING


cdef class Limiter:
    cdef double _rate
    cdef double _burst
    cdef double _time
    cdef long long _slip
    cdef bint _dry_run
    cdef object _clock
    cdef object _limit
    cdef Networks _exempt
    cdef uint64_t _mask4
    cdef uint64_t _mask6_high
    cdef uint64_t _mask6_low
    cdef uint64_t _sets
    cdef uint64_t[::1] _high
    cdef uint64_t[::1] _low
    cdef double[::1] _full
    cdef uint32_t[::1] _over
    cdef uint64_t _key0
    cdef uint64_t _key1
    cdef uint64_t _key2
    cdef uint64_t _key3
    cdef uint64_t _key4
    cdef readonly bint active
    cdef public long long limited
    cdef public long long limited_dry_run
    cdef public long long slipped
    cdef public long long evicted

    @cython.locals(now=double)
    cpdef look_at_clock(self)

    @cython.locals(place=Py_ssize_t, room=Py_ssize_t)
    cpdef Py_ssize_t admit(self, bint four, uint64_t high, uint64_t low, Py_ssize_t count) except -1

    @cython.locals(start=double, end=double, room=Py_ssize_t)
    cdef Py_ssize_t _take(self, Py_ssize_t place, Py_ssize_t count) except -1

    cdef Py_ssize_t _slipping(self, Py_ssize_t place, Py_ssize_t over) except -1

    @cython.locals(first=Py_ssize_t, fullest=Py_ssize_t, place=Py_ssize_t)
    cdef Py_ssize_t _place(self, uint64_t high, uint64_t low) except -1

    @cython.locals(mixed=uint64_t)
    cdef Py_ssize_t _set(self, uint64_t high, uint64_t low) except -1
