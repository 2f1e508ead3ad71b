cimport cython

from ..scheduling.activity cimport Activity
from ..processes.process cimport Process
from .registry cimport Registry
from ..scheduling.scheduler cimport Scheduler
from .sent_request cimport Deadlines, SentRequest
from .waiter cimport Waiter


cdef object _ZOMBIE, _TERMINATED


cdef class Calls:
    cdef object _core
    cdef readonly Deadlines deadlines
    cdef dict _late
    cdef dict _open
    cdef Registry _registry
    cdef Scheduler _scheduler
    cdef public Py_ssize_t late_responses

    @cython.locals(callee=Activity, waiter=Waiter)
    cpdef start_request(self, Process caller, to, request, timeout, priority)

    @cython.locals(callee=Activity)
    cpdef send_request(self, Process caller, to, request, label, timeout, priority)

    @cython.locals(caller=Process, callee=Activity, requests=dict)
    cpdef open_request(self, SentRequest sent, entry, priority)

    @cython.locals(sent=SentRequest)
    cpdef cancel_request(self, Process caller, ref)

    cpdef _close(self, SentRequest sent)

    @cython.locals(others=double)
    cpdef start_waiting(self, Waiter waiter)

    cpdef _stop_waiting(self, Waiter waiter)

    @cython.locals(callee=Activity)
    cpdef callee(self, Process caller, to)

    @cython.locals(waiter=Waiter)
    cpdef answer(self, ref, answer)

    cpdef open(self, ref)
    cpdef adopt(self, Waiter waiter)
    cpdef drop(self, ref)
