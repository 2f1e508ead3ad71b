cimport cython

from ..node.messaging.calls cimport Calls
from ..node.messaging.sent_request cimport SentRequest
from ..node.messaging.waiter cimport Waiter
from ..node.scheduling.activity cimport Activity
from .link_outbox cimport Outbox

cdef object _TERMINATED
cdef bytes _CALL
cdef tuple _PRIORITIES


cdef class RemoteTarget(Activity):
    cdef readonly object link
    cdef readonly object address
    cdef Outbox _outbox
    cdef Calls _calls
    cdef object _sender
    cdef bytes _head
    cdef dict _heads

    @cython.locals(sender=object, message=object)
    cpdef bint put(self, object entry, int priority, Py_ssize_t limit=*) except -1
    @cython.locals(head=bytes, before=bytes)
    cpdef _call(self, request, int priority)
    @cython.locals(waiter=Waiter, left=double)
    cpdef _left(self, ref)
    cpdef bytes _head_of(self, sender)
