cimport cython

from ..mailbox.lane cimport Lane, filled
from ..scheduling.activity cimport Activity
from .process cimport Process

cdef object _ZOMBIE, _TERMINATED


cdef class SharedMailbox(Process):
    cdef public object order
    cdef public object taken_key
    cdef bint _orders

    @cython.locals(lane=Lane, main=Lane)
    cpdef take_entry(self, Activity place)

    cpdef bint put(self, object entry, int priority, Py_ssize_t limit=*) except -1
    cpdef bint _has_more(self) except -1
