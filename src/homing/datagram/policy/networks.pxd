cimport cython
from libc.stdint cimport uint64_t


cdef class Ranges:
    cdef Py_ssize_t _count
    cdef uint64_t[::1] _first_high
    cdef uint64_t[::1] _first_low
    cdef uint64_t[::1] _last_high
    cdef uint64_t[::1] _last_low

    @cython.locals(left=Py_ssize_t, right=Py_ssize_t, middle=Py_ssize_t, first=uint64_t, last=uint64_t)
    cpdef bint contains(self, uint64_t high, uint64_t low)


cdef class Networks:
    cdef Ranges _four
    cdef Ranges _six

    @cython.locals(ranges=Ranges)
    cpdef bint contains(self, bint four, uint64_t high, uint64_t low)
