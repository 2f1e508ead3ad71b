cimport cython

from ..node.scheduling.activity cimport Activity
from .link_outbox cimport Outbox

cdef object _TERMINATED


cdef class RemoteTarget(Activity):
    cdef readonly object link
    cdef readonly object address
    cdef Outbox _outbox
    cdef object _sender
    cdef bytes _head
    cdef dict _heads

    @cython.locals(sender=object, message=object)
    cpdef bint put(self, object entry, int priority, Py_ssize_t limit=*) except -1
    cpdef bytes _head_of(self, sender)
