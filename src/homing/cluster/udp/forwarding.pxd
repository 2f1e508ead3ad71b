cimport cython

from ...meta.udp.outgoing cimport any_leased, take_datagrams
from ...node.scheduling.activity cimport Activity
from ...node.scheduling.forwarder cimport Forwarder
from .outflow cimport Outflow

cdef Py_ssize_t TAKEN


cdef class ToReceiver(Forwarder):
    cdef object _away
    cdef Activity _process

    @cython.locals(flow=Outflow, room=cython.longlong, done=Py_ssize_t)
    cpdef Py_ssize_t take_now(self, list messages) except -1

    @cython.locals(flow=Outflow, room=cython.longlong, messages=list)
    cpdef Py_ssize_t take_main(self, main) except -1

    @cython.locals(done=Py_ssize_t)
    cdef Py_ssize_t _send(self, Outflow flow, main, list messages) except -1

    @cython.locals(done=Py_ssize_t)
    cdef Py_ssize_t _put(self, Outflow flow, list messages) except -1
