from ..scheduling.activity cimport Activity
from ..processes.process cimport Process
from ..scheduling.scheduler cimport InlineRequest


cdef class Waiter(InlineRequest):
    cdef public Process caller
    cdef public object target
    cdef public object ref
    cdef public object answer
    cdef public object error
    cdef public object seconds
    cdef object _entry
    cdef object _future
    cdef int _priority
    cdef bint _limited

    cpdef start(self)
    cdef _wait_at(self, Activity callee)
    cpdef finish(self, answer, error)
    cpdef stop(self)
    cpdef take(self)
    cpdef forget(self)
