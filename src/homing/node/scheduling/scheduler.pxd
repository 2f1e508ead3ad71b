cimport cython

from .activity cimport Activity
from .slices cimport Slices
from .source cimport Source
from ..mailbox.c_functions cimport clock
from ..mailbox.lane cimport Lane


cdef class InlineRequest:
    cdef public Activity callee
    cdef public bint done

    cpdef put(self)


cdef class Scheduler(Slices):
    cdef Py_ssize_t _depth
    cdef double _inline_end

    @cython.locals(outer=Activity, since=double, lent=double, now=double, seconds=double)
    cpdef run_for(self, Activity activity, function, argument, bint charged=*)

    cpdef bint run_with(self, Source source) except -1
    cpdef bint run_lone(self, Activity activity, sender, message) except -1

    @cython.locals(now=double, end=double)
    cpdef double run_inline(self, InlineRequest request) except? -1

    cpdef bint runs_alone(self, due) except -1

    @cython.locals(callee=Activity)
    cpdef _deliver(self, InlineRequest request)

    @cython.locals(ready=Lane, fresh=Lane, rest=Lane, before=double)
    cpdef _run_nested(self, InlineRequest request, double end)

    @cython.locals(ready=Lane, now=double, outer=Activity, since=double, lent=double, entered=double)
    cpdef _run_until(self, InlineRequest request)
