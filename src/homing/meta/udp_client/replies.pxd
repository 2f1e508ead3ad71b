cimport cython

from .open_requests cimport OpenRequests, Table
from .outcomes cimport Outcomes
from .request cimport Request


cdef class Replies:
    cdef object _loop
    cdef object _peer
    cdef object _key
    cdef object _reply_key
    cdef Outcomes _outcomes
    cdef OpenRequests _open
    cdef readonly object memory
    cdef bint _connected
    cdef bint _checks_source
    cdef bint _guards
    cdef bint _identifies
    cdef bint _suspicious
    cdef bint _counts_guesses
    cdef object _guesses
    cdef readonly bint drops_rest
    cdef readonly long long replies, late, duplicate, heard, stray, dropped_stray

    cpdef list take_replies(self, list messages)
    cdef bint _take(self, object message) except -1
    @cython.locals(request=Request)
    cdef bint _offer(self, Table table, key, object message) except -1
    @cython.locals(drops=bint, foreign=bint)
    cdef bint _stray(self, object message) except -1
    cdef _reply_key_of(self, object message)
    cdef bint _is_from_peer(self, source) except -1
    @cython.locals(request=Request, found=Request)
    cdef bint _scan(self, Table table, object message) except -1
    @cython.locals(request=Request, last=cython.longlong, after=cython.longlong, changes=cython.longlong)
    cdef _asked(self, Table table, object message, list broken)
    cdef bint _confirm(self, Request request, object message) except -1
    @cython.locals(request=Request)
    cdef _hear(self, Request asked)
    @cython.locals(request=Request)
    cdef _give(self, Request asked, object message)
