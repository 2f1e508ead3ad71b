cimport cython

from ..scheduling.activity cimport Activity
from ..scheduling.scheduler cimport Scheduler, thread_ident


cdef Py_ssize_t HIGH_WATER

@cython.locals(process=Activity, target=Activity, scheduler=Scheduler)
cpdef send(behavior, to, message)
