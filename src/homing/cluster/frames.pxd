cimport cython

from ..node.messaging.calls cimport Calls
from ..node.scheduling.activity cimport Activity
from ..node.scheduling.scheduler cimport Scheduler
from .inbound cimport Inbound

cdef object _new


cdef class Frames:
    cdef object _cluster
    cdef object _core
    cdef Calls _calls
    cdef Scheduler _scheduler
    cdef object _node
    cdef object _creation

    @cython.locals(inbound=Inbound, target=Activity)
    cpdef _call(self, link, frame)
    @cython.locals(calls=Calls, inbound=Inbound, scheduler=Scheduler)
    cpdef _open(self, link, Activity target, ref, left, request, int priority, Py_ssize_t limit)
    @cython.locals(calls=Calls, inbound=Inbound)
    cpdef _answer(self, link, frame)
    cpdef _ref(self, link, reference)
