from libc.stdint cimport uint64_t

from .limiter cimport Limiter
from .networks cimport Networks


cdef class Admission:
    cdef Networks _allow
    cdef Networks _deny
    cdef readonly Limiter limiter
    cdef bint _admitted
    cdef bint _four
    cdef uint64_t _high
    cdef uint64_t _low
    cdef public long long filtered, denied
    cdef public object verdict

    cpdef look_at_clock(self)
    cpdef Py_ssize_t admit(self, bint four, uint64_t high, uint64_t low, Py_ssize_t count) except -1
    cdef bint _allows(self, bint four, uint64_t high, uint64_t low) except -1
