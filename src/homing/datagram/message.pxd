cimport cython


@cython.no_gc  # it would take part in no cycle that a user makes by accident, and floods make millions
@cython.freelist(512)
cdef class MessageUDP:
    cdef public object id
    cdef public object addr
    cdef public object data
    cdef public bint truncated
    cdef public object _lease

    cpdef MessageUDP reply(self, object data)
