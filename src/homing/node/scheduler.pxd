cimport cython

from .activity cimport Activity
from .lane cimport Lane
from .waiter cimport Waiter


cdef class Scheduler:
    cdef public object loop
    cdef public Lane ready
    cdef public object context
    cdef public bint armed
    cdef public Py_ssize_t turn_messages
    cdef public double turn_seconds
    cdef public double slice_seconds
    cdef Py_ssize_t _depth
    cdef double _end
    cdef double _inline_end

    cpdef schedule(self, Activity activity)

    @cython.locals(activity=Activity, ready=Lane, now=double, later=double, end=double)
    cpdef _slice(self)

    @cython.locals(now=double, end=double)
    cpdef double run_inline(self, Waiter waiter) except? -1

    @cython.locals(callee=Activity)
    cpdef _deliver(self, Waiter waiter)

    @cython.locals(ready=Lane, before=double)
    cpdef _run_nested(self, Waiter waiter, double end)

    @cython.locals(activity=Activity, ready=Lane, now=double, later=double)
    cpdef _run_until(self, Waiter waiter)
