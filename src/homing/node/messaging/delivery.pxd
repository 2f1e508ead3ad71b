cimport cython

from ..scheduling.activity cimport Activity
from .registry cimport Registry
from ..scheduling.scheduler cimport Scheduler


cpdef split_address(Activity target, to)
cpdef checked(priority)


cdef class Delivery:
    cdef dict _late
    cdef object _publishing
    cdef Registry _registry
    cdef Scheduler _scheduler

    @cython.locals(target=Activity)
    cpdef send(self, sender, to, message, priority=*)

    cpdef request(self, sender, Activity target, to, ref, request, priority)
