from ..mailbox.lane cimport Lane


cdef class Forwarder:
    cdef public bint sends_now

    cpdef Py_ssize_t take_main(self, main) except -1
    cpdef bint send_now(self, sender, target, message) except -1
