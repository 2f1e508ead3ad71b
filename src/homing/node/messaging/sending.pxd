cimport cython

from ..scheduling.activity cimport Activity
from ..scheduling.forwarder cimport Forwarder
from ..mailbox.c_functions cimport thread_ident
from ..mailbox.lane cimport Lane
from ..scheduling.scheduler cimport Scheduler

cdef bint _COMPILED

cdef object _ZOMBIE, _TERMINATED

cdef Py_ssize_t HIGH_WATER


@cython.locals(forwarder=Forwarder, process=Activity, lane=Lane, target=Activity, scheduler=Scheduler)
cpdef send(behavior, to, message)


cpdef reply(behavior, message, data, info=*)
