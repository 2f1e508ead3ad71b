cdef class Source:
    cpdef put_messages(self)
