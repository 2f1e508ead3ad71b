cimport cython

from .backend.base cimport Backend
from .message cimport MessageUDP
from .policy.guard cimport Guard
from .send_queue cimport SendQueue


cdef class Endpoint:
    cdef public object sock, kernel, local_address, receive_errors, admission, handed_over, association
    cdef public Backend backend
    cdef public SendQueue send_queue
    cdef public object send, send_many
    cdef public bint closed
    cdef readonly object _errors, _watch
    cdef Guard _guard
    cdef object _icmp_errors, _on_icmp_error, _pending, _polling
    cdef readonly object ear
    cdef object _condition
    cdef bint _gro, _listens
    cdef Py_ssize_t _lost

    cpdef receive_lone(self, id, Py_ssize_t reads)
    @cython.locals(guard=Guard, message=MessageUDP)
    cdef list _hear(self, list messages)
    cpdef list receive(self, Py_ssize_t limit, Py_ssize_t reads, id, Py_ssize_t octets=*)
