from .open_requests cimport OpenRequests
from .request cimport Request


cdef class Outcomes:
    cdef object _process
    cdef object _loop
    cdef readonly OpenRequests open
    cdef readonly object memory
    cdef public object on_timeout
    cdef readonly long long last, changes
    cdef readonly long long answered, timeouts, refused, failed, cancelled

    cpdef add(self, Request request)
    cpdef bint gave_up(self, Request request) except -1
    cdef _number(self, Request request)
    cpdef Request waiting(self, Request request)
    cpdef reply(self, Request request, object message)
    cpdef answer(self, Request request, answer, object last)
    cdef _end(self, Request request, object answer)
