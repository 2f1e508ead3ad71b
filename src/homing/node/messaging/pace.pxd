cimport cython

from ..scheduling.activity cimport Activity


cdef class Pace:
    cdef object _loop
    cdef readonly double seconds
    cdef readonly Py_ssize_t high
    cdef readonly Py_ssize_t mark
    cdef Activity _target
    cdef Py_ssize_t _handled
    cdef Py_ssize_t _queued
    cdef double _running
    cdef double _since
    cdef double _per_message

    @cython.locals(done=Py_ssize_t, ran=double, now=double, same=bint)
    cpdef Py_ssize_t look(self, Activity target, Py_ssize_t queued) except -1

    cdef _measure(self, Py_ssize_t done, double ran, double passed)

    @cython.locals(before=double)
    cdef _set(self, double seconds)


cdef Py_ssize_t LEAST
