cimport cython

from ..processes.process cimport Process
from ..scheduling.slices cimport Slices
from .waiter cimport Waiter

cdef object _ZOMBIE, _TERMINATED


cdef class SentRequest(Waiter):
    cdef public double due
    cdef public Py_ssize_t number
    cdef readonly object label
    cdef Deadlines _deadlines

    cpdef open(self)
    cpdef finish(self, answer, error)
    @cython.locals(caller=Process, scheduler=Slices)
    cpdef respond(self, response)
    cpdef close(self)


cdef class Deadlines:
    cdef object _clock
    cdef object _core
    cdef dict _open
    cdef list _heap
    cdef Py_ssize_t _last
    cdef Py_ssize_t _closed
    cdef double _due
    cdef bint _graced
    cdef object _timer

    @cython.locals(heap=list, due=double, earlier=double)
    cpdef double add(self, Waiter request) except? -1

    @cython.locals(entry=tuple)
    cpdef closed(self)
