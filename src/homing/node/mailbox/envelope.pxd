cdef object _COMPILED, _INTERPRETED

cpdef bint is_coroutine(value)


cdef class SplitMessage:
    cdef public object to
    cdef public object sender
    cdef public object message

    cpdef handle(self, activity)


cdef class Response:
    cdef public object callee
    cdef public object label
    cdef public object message
    cdef public object ref

    cpdef handle(self, activity)


cdef class Request:
    cdef public object callback
    cdef public object sender
    cdef public object ref
    cdef public object request
    cdef public object to

    cpdef handle(self, activity)
