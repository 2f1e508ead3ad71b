cimport cython

from ..scheduling.activity cimport Activity
from ..mailbox.mailbox cimport Mailbox
from ..scheduling.scheduler cimport Scheduler, thread_ident


@cython.locals(process=Activity, target=Mailbox, scheduler=Scheduler)
cpdef send(behavior, to, message)
