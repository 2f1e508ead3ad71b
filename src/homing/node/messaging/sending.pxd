cimport cython

from ..scheduling.activity cimport Activity
from ..mailbox.lane cimport Lane
from ..mailbox.mailbox cimport Mailbox
from ..scheduling.scheduler cimport Scheduler, thread_ident

cdef bint _COMPILED


@cython.locals(process=Activity, lane=Lane, target=Mailbox, scheduler=Scheduler)
cpdef send(behavior, to, message)
