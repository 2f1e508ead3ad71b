cdef class Registry:
    cdef public object node
    cdef public object creation
    cdef public object elsewhere
    cdef public dict names
    cdef public dict routes
    cdef dict _name_waiters
    cdef object _last

    cpdef next_id(self)
    cpdef make_pid(self)
    cpdef make_ref(self)
    cpdef find(self, to)
