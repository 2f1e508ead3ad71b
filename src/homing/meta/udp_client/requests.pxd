cimport cython

from .open_requests cimport OpenRequests
from .outcomes cimport Outcomes
from .replies cimport Replies
from .request cimport Request


cdef class Requests:
    cdef object _loop
    cdef object _endpoint
    cdef object _options
    cdef object _peer
    cdef object _default
    cdef object _key
    cdef object _ids
    cdef object _questions
    cdef OpenRequests _open
    cdef Outcomes _outcomes
    cdef readonly Replies matcher
    cdef readonly object icmp_failures
    cdef public object read_all
    cdef public object unanswered
    cdef bint _suspicious
    cdef object _guesses
    cdef double _read_at
    cdef double _unread_since
    cdef public long long requests, rejected, retransmits, shared

    cpdef ask(self, sender, ref, wanted)
    @cython.locals(same=Request)
    cdef Request _made(self, sender, ref, wanted)
    cdef _key_of(self, data)
    cdef _transmit(self, Request request)
    @cython.locals(now=double, seconds=double)
    cdef _set_timer(self, Request request)
    cpdef _wait_over(self, Request request)
    cdef bint _has_read(self, double due) except -1
