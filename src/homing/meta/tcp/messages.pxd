cimport cython


cdef class _OfConnection:
    cdef public object id
    cdef public object addr
    cdef public object connection
    cdef public object info

    cpdef MessageTCP reply(self, object data)


cdef class MessageTCP(_OfConnection):
    cdef public object data
    cdef public object is_answer

    @cython.locals(answer=MessageTCP)
    cpdef MessageTCP reply(self, object data)


cdef class MessageTCPConnect(_OfConnection):
    pass


cdef class MessageTCPDisconnect(_OfConnection):
    cdef public object reason


@cython.locals(message=MessageTCP)
cpdef MessageTCP frame_of(object id, object addr, object data, object connection, object info)
