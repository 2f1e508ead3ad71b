cimport cython

from ..scheduling.activity cimport Activity
from ..processes.process cimport Process
from .registry cimport Registry
from ..scheduling.scheduler cimport Scheduler
from .waiter cimport Waiter


cdef class Calls:
    cdef object _core
    cdef dict _late
    cdef dict _open
    cdef Registry _registry
    cdef Scheduler _scheduler
    cdef public Py_ssize_t late_responses

    @cython.locals(callee=Activity, waiter=Waiter)
    cpdef start_request(self, Process caller, to, request, timeout, priority)

    @cython.locals(others=double)
    cpdef _start_waiting(self, Waiter waiter)

    cpdef _stop_waiting(self, Waiter waiter)

    @cython.locals(callee=Activity)
    cpdef _callee(self, Process caller, to)

    @cython.locals(waiter=Waiter)
    cpdef answer(self, ref, answer)
