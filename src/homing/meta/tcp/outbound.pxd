cimport cython

from ...node.mailbox.lane cimport Lane, filled
from ...node.scheduling.activity cimport Activity
from ...node.scheduling.forwarder cimport Forwarder
from .connection cimport Connection
from .hub cimport Hub
from .messages cimport MessageTCP

cdef bint _COMPILED
cdef Py_ssize_t _MOST


cdef class Outflow(Forwarder):
    cdef object _process, _kind
    cdef Hub _hub
    cdef dict _connections

    @cython.locals(taken=Py_ssize_t)
    cpdef Py_ssize_t take_main(self, main) except -1

    @cython.locals(own=Activity)
    cpdef bint send_now(self, sender, target, message) except -1

    @cython.locals(connection=Connection)
    cdef bint _put(self, MessageTCP message) except -1

    cdef _handle(self, sender, message)
