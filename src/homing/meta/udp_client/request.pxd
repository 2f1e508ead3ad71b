cimport cython


cdef class Request:
    cdef public object sender
    cdef public object ref
    cdef public object plan
    cdef public object message
    cdef public object peer
    cdef public object key
    cdef public object timer
    cdef public object ids
    cdef public object own_id
    cdef public object question
    cdef public object deadline
    cdef public list replies
    cdef public set seen
    cdef public double started
    cdef public double due
    cdef public double began
    cdef public long long number
    cdef public long waits
    cdef public long long guesses
    cdef public long attempts
    cdef public bint final
    cdef public bint queued
    cdef public bint heard
    cdef public bint is_open

    @cython.locals(seconds=double)
    cpdef double wait(self, double now)
