
cdef class Ended:
    cdef public object request
    cdef public object answer
    cdef public double until
    cdef public long left


cdef class Memory:
    cdef readonly object others
    cdef object _keyed
    cdef Py_ssize_t _limit
    cdef bint _per_peer

    cpdef keep(self, request, object answer, double now)
    cpdef find(self, key, object message, double now)
