cimport cython

from ...datagram.policy.limiter cimport Limiter
from ...node.scheduling.scheduler cimport Scheduler
from .connection cimport Connection
from .counters cimport Counters
from .inflow cimport Inflow


cdef class Hub:
    cdef object __weakref__
    cdef public object options, table, alias, view, rate, process, on_opened, on_gone, on_look, half_closed
    cdef public Counters counters
    cdef public bytearray buffer
    cdef public list touched
    cdef public Limiter limiter
    cdef public object inflow
    cdef public bint answers, draining, closed, collects
    cdef Py_ssize_t _last_number
    cdef object _look_timer
    cdef dict _retries

    cpdef double now(self) except? -1

    @cython.locals(scheduler=Scheduler)
    cpdef run(self, Inflow inflow)

    @cython.locals(touched=list, connection=Connection)
    cpdef flush(self)
