cimport cython

from .request cimport Request


cdef class Requests:
    cdef object _process
    cdef object _loop
    cdef object _endpoint
    cdef object _options
    cdef object _peer
    cdef object _default
    cdef object _key
    cdef object _reply_key
    cdef dict _keyed
    cdef dict _others
    cdef readonly object memory
    cdef bint _checks_source
    cdef readonly bint drops_rest
    cdef readonly long long last
    cdef public long long requests, answered, timeouts, refused, failed, cancelled, rejected
    cdef public long long retransmits, replies, late, duplicate, stray, dropped_stray

    cpdef ask(self, sender, ref, wanted)
    cdef Request _made(self, sender, ref, wanted)
    cdef _key_of(self, data)
    cdef _transmit(self, Request request)
    cdef _set_timer(self, Request request)
    cpdef _wait_over(self, Request request)
    cdef bint _gave_up(self, Request request) except -1
    cpdef list take_replies(self, list messages)
    @cython.locals(request=Request)
    cdef bint _take(self, object message) except -1
    cdef _reply_key_of(self, object message)
    cpdef bint _from_peer(self, source, to) except -1
    cdef Request _scan(self, object message)
    cdef _give(self, Request request, object message)
    cdef _end(self, Request request, object answer)
    cdef _answer(self, Request request, answer, object last)
