cimport cython
from libc.stdint cimport uint64_t

cdef Py_ssize_t _WAYS
cdef uint64_t _WORD
cdef uint64_t _MASK
cdef uint64_t _MAPPED
cdef uint64_t _SCATTER


cdef class AddressTable:
    cdef uint64_t _sets
    cdef uint64_t[::1] _high
    cdef uint64_t[::1] _low
    cdef uint64_t[::1] _rest
    cdef readonly uint64_t[::1] received
    cdef readonly uint64_t[::1] sent
    cdef readonly double[::1] rank
    cdef uint64_t _key0
    cdef uint64_t _key1
    cdef uint64_t _key2
    cdef uint64_t _key3
    cdef uint64_t _key4
    cdef uint64_t _key5
    cdef uint64_t _key6

    @cython.locals(first=Py_ssize_t, row=Py_ssize_t)
    cpdef Py_ssize_t find(self, bint four, uint64_t high, uint64_t low, uint64_t rest) except -2

    @cython.locals(first=Py_ssize_t, row=Py_ssize_t, lowest=Py_ssize_t)
    cpdef Py_ssize_t row(self, bint four, uint64_t high, uint64_t low, uint64_t rest) except -2

    @cython.locals(row=Py_ssize_t, least=double)
    cpdef list rows(self, Py_ssize_t most)

    @cython.locals(mixed=uint64_t)
    cdef Py_ssize_t _set(self, uint64_t high, uint64_t low, uint64_t rest) except -1


cpdef uint64_t rest_of(uint64_t port, uint64_t scope) except? 0
