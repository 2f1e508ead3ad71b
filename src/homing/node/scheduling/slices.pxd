cimport cython

from .activity cimport Activity
from ..mailbox.c_functions cimport PyContext_Copy, PyContext_Enter, PyContext_Exit, clock, thread_ident
from ..mailbox.lane cimport Lane, filled


cdef bint _COMPILED


cdef class Slices:
    cdef public object loop
    cdef public object node
    cdef public unsigned long thread
    cdef public Lane ready
    cdef public Lane leaving
    cdef public Lane works
    cdef public object context
    cdef public bint armed, taken
    cdef public double ended
    cdef public Py_ssize_t turn_messages
    cdef public double turn_seconds
    cdef public double slice_seconds
    cdef public Activity current
    cdef public double since
    cdef public double lent
    cdef public double stall_seconds
    cdef public object on_stall
    cdef Py_ssize_t _slices
    cdef double _end
    cdef double _portion_end
    cdef Py_ssize_t _portion_woken
    cdef Py_ssize_t _woken

    cpdef require_thread(self)

    cpdef schedule(self, Activity activity)
    cpdef schedule_end(self, Activity activity)

    @cython.locals(number=Py_ssize_t, now=double, end=double)
    cpdef bint _goes_on(self, work) except -1

    @cython.locals(now=double)
    cpdef bint may_go_on(self) except -1

    @cython.locals(later=double)
    cdef double _turn(self, Activity activity, double now, sender=*, message=*) except? -1

    @cython.locals(share=double, more=bint)
    cpdef double _run_others(self, double now, double end) except? -1

    cpdef _slice(self)

    @cython.locals(ready=Lane, now=double, end=double, outer=Activity, since=double, lent=double, entered=double)
    cdef _run_slice(self, Activity activity, sender, message)

    cpdef _arm(self)

    @cython.locals(before=Py_ssize_t)
    cpdef _run_now(self, Activity activity=*, sender=*, message=*)
