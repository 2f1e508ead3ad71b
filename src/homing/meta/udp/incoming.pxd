cimport cython

from ...datagram.message cimport MessageUDP
from ...node.messaging.flow cimport Inlet
from ...node.scheduling.source cimport Source


cdef class Incoming(Source):
    cdef Inlet _inlet
    cdef object _matcher
    cdef object _received
    cdef Py_ssize_t _room
    cdef Py_ssize_t _octets
    cdef public Py_ssize_t delivered
    cdef public Py_ssize_t dropped
    cdef public Py_ssize_t dropped_newest
    cdef public Py_ssize_t dropped_oldest

    @cython.locals(count=Py_ssize_t, taken=Py_ssize_t, octets=Py_ssize_t)
    cpdef put_messages(self)

    cdef Py_ssize_t _longest(self, list messages, Py_ssize_t octets) except -1

    cdef _account(self, Py_ssize_t delivered, Py_ssize_t dropped)

    cpdef Py_ssize_t _put_batch(self, batch) except -1

    @cython.locals(surplus=Py_ssize_t)
    cdef list _take_replies(self, matcher, list messages)

    @cython.locals(delivered=Py_ssize_t)
    cdef _count_lone(self, Py_ssize_t number)

    @cython.locals(rest=list, octets=Py_ssize_t, delivered=Py_ssize_t)
    cdef _drop(self, list messages, Py_ssize_t went, Py_ssize_t surplus, bint newest)


cdef Py_ssize_t SHORT

@cython.locals(message=MessageUDP, octets=Py_ssize_t)
cpdef Py_ssize_t octets_of(list messages) except -1

@cython.locals(message=MessageUDP, longest=Py_ssize_t, length=Py_ssize_t)
cpdef Py_ssize_t longest_of(list messages) except -1
