cimport cython

from ..scheduling.activity cimport Activity
from ..mailbox.lane cimport Lane
from ..scheduling.scheduler cimport Scheduler
from ..scheduling.slices cimport thread_ident

cdef bint _COMPILED

cdef Py_ssize_t HIGH_WATER


@cython.locals(process=Activity, lane=Lane, target=Activity, scheduler=Scheduler)
cpdef send(behavior, to, message)


cpdef reply(behavior, message, data, info=*)
