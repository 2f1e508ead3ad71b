from ..mailbox.lane cimport Lane


cdef class Forwarder:
    cdef public bint sends_now, takes_now

    cpdef Py_ssize_t take_main(self, main) except -1
    cpdef bint send_now(self, sender, target, message) except -1
    cpdef Py_ssize_t take_now(self, list messages) except -1
