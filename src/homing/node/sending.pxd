cimport cython

from .activity cimport Activity
from .mailbox cimport Mailbox
from .scheduler cimport Scheduler


@cython.locals(process=Activity, target=Mailbox, scheduler=Scheduler)
cpdef send(behavior, to, message)
