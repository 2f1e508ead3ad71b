cimport cython

from .open_requests cimport OpenRequests, Table
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
    cdef OpenRequests _open
    cdef readonly object memory
    cdef public object read_all
    cdef public object unanswered
    cdef bint _checks_source
    cdef bint _guards
    cdef double _read_at
    cdef double _unread_since
    cdef readonly bint drops_rest
    cdef readonly long long last
    cdef public long long requests, answered, timeouts, refused, failed, cancelled, rejected
    cdef public long long retransmits, replies, late, duplicate, heard, stray, dropped_stray

    cpdef ask(self, sender, ref, wanted)
    @cython.locals(same=Request)
    cdef Request _made(self, sender, ref, wanted)
    cdef _key_of(self, data)
    cdef _transmit(self, Request request)
    @cython.locals(now=double, seconds=double)
    cdef _set_timer(self, Request request)
    cpdef _wait_over(self, Request request)
    cdef bint _has_read(self, double due) except -1
    cdef bint _gave_up(self, Request request) except -1
    cpdef list take_replies(self, list messages)
    cdef bint _take(self, object message) except -1
    @cython.locals(request=Request)
    cdef bint _offer(self, Table table, key, object message) except -1
    @cython.locals(drops=bint)
    cdef bint _stray(self, object message) except -1
    cdef _reply_key_of(self, object message)
    cdef bint _is_from_peer(self, source) except -1
    @cython.locals(request=Request, found=Request)
    cdef bint _scan(self, Table table, object message) except -1
    cdef _hear(self, Request request)
    cdef _give(self, Request request, object message)
    cdef _end(self, Request request, object answer)
    cdef _answer(self, Request request, answer, object last)
