cdef class Times:
    cdef public double since, last, begun, blocked
    cdef public bint has_received, active
    cdef Py_ssize_t _waited
    cdef double _moved
