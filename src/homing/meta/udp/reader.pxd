cimport cython

from ...datagram.backend.base cimport Backend
from ...datagram.endpoint cimport Endpoint
from ...datagram.message cimport MessageUDP
from ...node.mailbox.c_functions cimport clock
from ...node.messaging.flow cimport Inlet
from ...node.scheduling.activity cimport Activity
from ...node.scheduling.scheduler cimport Scheduler
from ...node.scheduling.source cimport Source


cdef class Reader(Source):
    cdef object _process
    cdef Endpoint _endpoint
    cdef Backend _backend
    cdef Scheduler _scheduler
    cdef object _leases
    cdef object _matcher
    cdef object _overflow
    cdef object _gone
    cdef public object id
    cdef object _received
    cdef readonly double wake_seconds
    cdef Inlet _inlet
    cdef Py_ssize_t _reads
    cdef Py_ssize_t _room
    cdef unsigned int _lone, _skipped
    cdef int _full_rounds
    cdef Py_ssize_t _octets
    cdef public bint batch_out
    cdef public bint open
    cdef public Py_ssize_t delivered
    cdef public Py_ssize_t dropped
    cdef public Py_ssize_t dropped_newest
    cdef public Py_ssize_t dropped_oldest
    cdef public Py_ssize_t pauses

    cpdef readable(self)

    cdef bint _expects_one(self) except -1

    @cython.locals(scheduler=Scheduler, inlet=Inlet, receiver=Activity, counted=bint, reads=Py_ssize_t)
    cdef bint _read_lone(self) except -1

    @cython.locals(delivered=Py_ssize_t)
    cdef _count_lone(self, Py_ssize_t number)

    @cython.locals(end=double, now=double, total=Py_ssize_t, rounds=Py_ssize_t, count=Py_ssize_t)
    cdef _read_many(self)

    cpdef Py_ssize_t receive(self) except -1

    @cython.locals(room=Py_ssize_t, limit=Py_ssize_t, before=cython.longlong, inlet=Inlet)
    cdef Py_ssize_t _receive(self) except -1

    cdef Py_ssize_t _reads_within(self, Inlet inlet) except -1

    @cython.locals(count=Py_ssize_t, surplus=Py_ssize_t, newest=bint, batches=bint)
    cdef Py_ssize_t _receive_too_many(self) except -1

    @cython.locals(rest=list, octets=Py_ssize_t, delivered=Py_ssize_t)
    cdef _drop(self, list messages, Py_ssize_t went, Py_ssize_t surplus, bint newest)

    @cython.locals(limit=Py_ssize_t, received=list)
    cdef Py_ssize_t _receive_to_match(self, matcher) except -1

    cdef bint _awaits_replies(self) except -1

    @cython.locals(surplus=Py_ssize_t)
    cdef list _take_replies(self, matcher, list messages)

    @cython.locals(count=Py_ssize_t, taken=Py_ssize_t, octets=Py_ssize_t)
    cpdef put_messages(self)

    cdef Py_ssize_t _longest(self, list messages, Py_ssize_t octets) except -1

    cdef _account(self, Py_ssize_t delivered, Py_ssize_t dropped)


cdef Py_ssize_t LONGEST, RECEIVE_LIMIT, SHORT
cdef unsigned int LONE, _LOOK
cdef Py_ssize_t _LOOK_READS
cdef double _AT_ONCE
cdef int _PAYS

@cython.locals(message=MessageUDP, octets=Py_ssize_t)
cdef Py_ssize_t _octets_of(list messages) except -1

@cython.locals(message=MessageUDP, longest=Py_ssize_t, length=Py_ssize_t)
cdef Py_ssize_t _longest_of(list messages) except -1
