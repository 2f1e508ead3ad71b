cimport cython

from .lane cimport Lane


cdef class Mailbox:
    cdef public Lane urgent
    cdef public Lane system
    cdef public Lane main
    cdef public Lane logs
    cdef public list drain_callbacks
    cdef public list end_callbacks
    cdef public Py_ssize_t limit
    cdef public Py_ssize_t outstanding
    cdef public Py_ssize_t dropped_log
    cdef public Py_ssize_t dropped_newest
    cdef public Py_ssize_t dropped_oldest
    cdef public bint split
    cdef public bint guarded
    cdef public bint paused
    cdef public bint scheduled
    cdef public bint closed

    @cython.locals(lane=Lane)
    cpdef Lane main_lane(self)

    cpdef settle(self, lane)

    @cython.locals(lane=Lane)
    cpdef bint put(self, object entry, int priority, Py_ssize_t limit=*) except -1
