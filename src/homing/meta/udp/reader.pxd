cimport cython

from ...datagram.backend.base cimport Backend
from ...datagram.endpoint cimport Endpoint
from ...datagram.message cimport MessageUDP
from ...node.mailbox.c_functions cimport clock
from ...node.messaging.flow cimport Inlet
from ...node.scheduling.activity cimport Activity
from ...node.scheduling.scheduler cimport Scheduler
from .incoming cimport Incoming, octets_of


cdef class Reader(Incoming):
    cdef object _process
    cdef Endpoint _endpoint
    cdef Backend _backend
    cdef Scheduler _scheduler
    cdef object _leases
    cdef object _overflow
    cdef object _gone
    cdef object _shaper
    cdef object _freshness
    cdef object _fair
    cdef readonly object fresh
    cdef public object id
    cdef readonly double wake_seconds
    cdef Py_ssize_t _reads
    cdef unsigned int _lone, _skipped
    cdef int _full_rounds
    cdef public bint batch_out
    cdef public bint open
    cdef public Py_ssize_t pauses

    cpdef readable(self)

    cdef bint _expects_one(self) except -1

    @cython.locals(reads=Py_ssize_t, found=int)
    cdef bint _read_lone(self) except -1

    @cython.locals(scheduler=Scheduler, inlet=Inlet, receiver=Activity, counted=bint)
    cdef int _take_lone(self, Py_ssize_t reads) except -2

    @cython.locals(end=double, now=double, total=Py_ssize_t, rounds=Py_ssize_t, count=Py_ssize_t)
    cdef _read_many(self)

    @cython.locals(count=Py_ssize_t)
    cdef Py_ssize_t _read_and_run(self) except -1

    @cython.locals(found=int)
    cdef Py_ssize_t _read_next(self) except -1

    cpdef Py_ssize_t receive(self) except -1

    @cython.locals(room=Py_ssize_t, limit=Py_ssize_t, before=cython.longlong, inlet=Inlet)
    cdef Py_ssize_t _receive(self) except -1

    cdef Py_ssize_t _receive_fairly(self, fair) except -1

    cdef Py_ssize_t _shaped(self, received) except -1

    cdef Py_ssize_t _reads_within(self, Inlet inlet) except -1

    @cython.locals(read=Py_ssize_t, count=Py_ssize_t, surplus=Py_ssize_t, newest=bint, batches=bint)
    cdef Py_ssize_t _receive_too_many(self) except -1

    @cython.locals(limit=Py_ssize_t, received=list)
    cdef Py_ssize_t _receive_to_match(self, matcher) except -1

    cdef bint _awaits_replies(self) except -1


cdef Py_ssize_t LONGEST, RECEIVE_LIMIT
cdef unsigned int LONE, _LOOK
cdef Py_ssize_t _LOOK_READS
cdef double _AT_ONCE
cdef int _PAYS
