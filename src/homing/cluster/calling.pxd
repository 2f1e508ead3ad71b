cimport cython

from ..node.messaging.calls cimport Calls
from ..node.messaging.sent_request cimport SentRequest
from .link_outbox cimport Outbox

cdef bytes _ANSWER


cdef class RemoteCaller(SentRequest):
    cdef object _core
    cdef Calls _calls
    cdef readonly object link

    cpdef begin(self)
    @cython.locals(expired=bint)
    cpdef finish(self, answer, error)
    cpdef drop(self)


@cython.locals(outbox=Outbox)
cpdef respond(core, link, ref, answer, error)
