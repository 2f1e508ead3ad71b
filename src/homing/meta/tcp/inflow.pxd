cimport cython

from ...node.messaging.flow cimport Inlet
from ...node.scheduling.activity cimport Activity
from ...node.scheduling.scheduler cimport Scheduler
from ...node.scheduling.source cimport Source
from .connection cimport Connection
from .counters cimport Counters
from .hub cimport Hub
from .messages cimport MessageTCP, frame_of


cdef class Inflow(Source):
    cdef public Counters _counters
    cdef public list _held
    cdef public object _queue
    cdef Hub _hub
    cdef Inlet _inlet
    cdef object _process
    cdef Scheduler _scheduler
    cdef bint _straight

    cpdef add(self, Connection connection)
    cpdef go_on(self)
    cpdef bint gives(self, Hub hub) except -1

    @cython.locals(scheduler=Scheduler, inlet=Inlet, counters=Counters, hub=Hub, receiver=Activity, message=MessageTCP)
    cpdef bint give(self, Connection connection, bytes frame) except -1

    @cython.locals(room=Py_ssize_t, connection=Connection, messages=list)
    cpdef put_messages(self)

    cpdef requeue(self, Connection connection)

    @cython.locals(octets=Py_ssize_t, longest=Py_ssize_t, taken=Py_ssize_t)
    cpdef _put(self, list messages)


@cython.locals(count=Py_ssize_t)
cdef Py_ssize_t _frames(list messages) except -1

@cython.locals(octets=Py_ssize_t, longest=Py_ssize_t, length=Py_ssize_t)
cpdef tuple sizes(list messages)
