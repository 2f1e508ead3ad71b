cdef class MessageUDP:
    cdef public object id
    cdef public object addr
    cdef public object data
    cdef public bint truncated
    cdef public object _lease

    cpdef MessageUDP reply(self, object data)
