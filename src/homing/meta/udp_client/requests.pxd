cimport cython



cdef class Request:
    cdef public object sender
    cdef public object ref
    cdef public object plan
    cdef public object message
    cdef public object key
    cdef public object timer
    cdef public object deadline
    cdef public list replies
    cdef public set seen
    cdef public double started
    cdef public long long number
    cdef public long waits
    cdef public long attempts
    cdef public bint final
    cdef public bint queued

    @cython.locals(seconds=double)
    cpdef double wait(self, double now)


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
    cdef list _reports
    cdef bint _drops
    cdef bint _checks_source
    cdef long long _last
    cdef public long long requests, answered, timeouts, refused, failed, cancelled, rejected
    cdef public long long retransmits, replies, late, duplicate, stray, dropped_stray

    cpdef ask(self, sender, ref, wanted)
    cdef Request _made(self, sender, ref, wanted)
    cdef _key_of(self, data)
    cdef _transmit(self, Request request)
    cdef _set_timer(self, Request request)
    cpdef _wait_over(self, Request request)
    cdef bint _gave_up(self, Request request) except -1
    cpdef list sort(self, list messages)
    @cython.locals(request=Request)
    cdef bint _take(self, object message) except -1
    cdef _reply_key_of(self, object message)
    cpdef bint _from_peer(self, source, to) except -1
    cdef Request _scan(self, object message)
    cdef _give(self, Request request, object message)
    cdef _end(self, Request request, object answer)
    cdef _answer(self, Request request, answer, object last)
