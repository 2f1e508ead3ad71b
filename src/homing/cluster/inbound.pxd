cimport cython

from ..node.mailbox.lane cimport Lane
from ..node.messaging.registry cimport Registry
from ..node.scheduling.activity cimport Activity
from ..node.scheduling.scheduler cimport Scheduler

cdef bint _COMPILED
cdef object _ZOMBIE, _TERMINATED, _NOTHING


cdef class Inbound:
    cdef object _core
    cdef object _link
    cdef object _node
    cdef object _creation
    cdef dict _routes
    cdef Scheduler _scheduler
    cdef object _exposed
    cdef object _late
    cdef dict _shown
    cdef dict _senders
    cdef list _readers
    cdef public dict handlers
    cdef public list numbers
    cdef public object undelivered
    cdef public Py_ssize_t messages
    cdef public Py_ssize_t batches
    cdef public Py_ssize_t bytes

    cpdef bint take(self, data) except -1
    cpdef handle(self, frame)
    @cython.locals(readers=list)
    cpdef read(self, Py_ssize_t kind, body)
    @cython.locals(target=Activity, lane=Lane, messages=list)
    cpdef _run(self, run)
    @cython.locals(readers=list)
    cpdef list _read_many(self, Py_ssize_t kind, bodies)
    cpdef sender(self, address)
    cpdef Activity find(self, to)
    cpdef bint shows(self, to) except -1
    cpdef address(self, to, Activity target)
    @cython.locals(target=Activity, lane=Lane)
    cpdef deliver(self, to, sender, message, int priority)
