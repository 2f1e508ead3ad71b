from ..scheduling.activity cimport Activity
from ..processes.process cimport Process


cdef class Waiter:
    cdef public Process caller
    cdef public Activity callee
    cdef public object target
    cdef public object ref
    cdef public object answer
    cdef public object error
    cdef public bint done
    cdef object _entry
    cdef object _future
    cdef int _priority
    cdef bint _limited

    cpdef begin(self)
    cpdef put(self)
    cpdef finish(self, answer, error)
    cpdef end(self)
    cpdef take(self)
