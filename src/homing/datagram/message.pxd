cimport cython


cdef class PacketInfo:
    cdef object _local
    cdef object _group
    cdef object _identity
    cdef int _interface
    cdef int _tos
    cdef int _ttl
    cdef long long _timestamp


@cython.locals(info=PacketInfo)
cpdef PacketInfo packet_info(object local, int interface, object group, int tos, int ttl, long long timestamp, object identity=*)

cpdef PacketInfo identified(PacketInfo info, object identity)

@cython.locals(link=int, own=PacketInfo)
cdef object _answering(PacketInfo received, object wish)


cdef class MessageUDP:
    cdef public object id
    cdef public object addr
    cdef public object data
    cdef public bint truncated
    cdef bint _is_answer
    cdef public object _lease
    cdef public object info

    @cython.locals(answer=MessageUDP)
    cpdef MessageUDP reply(self, object data, object info=*)


@cython.locals(message=MessageUDP)
cpdef MessageUDP received(object id, object addr, object data, object info)
