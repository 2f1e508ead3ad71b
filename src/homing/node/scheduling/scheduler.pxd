cimport cython

from .activity cimport Activity
from ..mailbox.lane cimport Lane


cdef extern from "pythread.h" nogil:
    unsigned long thread_ident "PyThread_get_thread_ident"()


cdef class InlineRequest:
    cdef public Activity callee
    cdef public bint done

    cpdef put(self)


cdef class Scheduler:
    cdef public object loop
    cdef public object node
    cdef public unsigned long thread
    cdef public Lane ready
    cdef public Lane leaving
    cdef public Lane works
    cdef public object context
    cdef public bint armed
    cdef public Py_ssize_t turn_messages
    cdef public double turn_seconds
    cdef public double slice_seconds
    cdef public Activity current
    cdef public double since
    cdef public double lent
    cdef public double stall_seconds
    cdef public object on_stall
    cdef Py_ssize_t _depth
    cdef Py_ssize_t _slices
    cdef double _end
    cdef double _inline_end
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

    @cython.locals(activity=Activity, now=double, later=double, end=double, share=double, more=bint)
    cpdef double _run_others(self, double now, double end) except? -1

    @cython.locals(outer=Activity, since=double, lent=double, now=double, seconds=double)
    cpdef run_for(self, Activity activity, function, argument, bint charged=*)

    @cython.locals(activity=Activity, ready=Lane, now=double, later=double, end=double, outer=Activity, since=double, lent=double, entered=double)
    cpdef _slice(self)

    @cython.locals(now=double, end=double)
    cpdef double run_inline(self, InlineRequest request) except? -1

    @cython.locals(callee=Activity)
    cpdef _deliver(self, InlineRequest request)

    cpdef _arm(self)

    @cython.locals(before=Py_ssize_t)
    cpdef _run_now(self)

    @cython.locals(ready=Lane, fresh=Lane, rest=Lane, activity=Activity, before=double)
    cpdef _run_nested(self, InlineRequest request, double end)

    @cython.locals(activity=Activity, ready=Lane, now=double, later=double, outer=Activity, since=double, lent=double, entered=double)
    cpdef _run_until(self, InlineRequest request)
