cdef class Backend:
    cdef public Py_ssize_t waiting
    cdef public bint keeps, more, full
    cdef public long long packets_in, bytes_in, truncated, cut_trains, lost, left, packets_out, bytes_out
    cdef public object retry, holes

    cpdef list receive(self, Py_ssize_t limit, Py_ssize_t reads, id, Py_ssize_t octets=*)
    cpdef receive_lone(self, id, Py_ssize_t reads)
    cpdef Py_ssize_t send_many(self, list messages, list failures) except -1
    cpdef bint send_lone(self, message) except -1
