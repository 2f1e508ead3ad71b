cimport cython

from ..scheduling.activity cimport Activity
from ..scheduling.forwarder cimport Forwarder
from ..mailbox.lane cimport Lane, filled
from ..scheduling.scheduler cimport Scheduler


cdef object _ZOMBIE, _TERMINATED


cdef class Inlet:
    cdef object _core
    cdef Activity _owner
    cdef object _ready
    cdef object _resume
    cdef object _waited
    cdef readonly object sender
    cdef object _to
    cdef readonly str waiting_for
    cdef Py_ssize_t _high
    cdef Py_ssize_t _low
    cdef Py_ssize_t _most_bytes
    cdef public Py_ssize_t octets_left
    cdef Py_ssize_t _bytes
    cdef Py_ssize_t _counted
    cdef object _batches
    cdef bint _waits
    cdef bint _marks

    cdef object _kind
    cdef bint _takes_batches
    cdef Activity _target

    @cython.locals(target=Activity)
    cdef Activity _find(self)

    @cython.locals(target=Activity)
    cpdef Activity lone_receiver(self)

    @cython.locals(target=Activity, high=Py_ssize_t, room=Py_ssize_t, waiting=Py_ssize_t, low=Py_ssize_t)
    cpdef Py_ssize_t room(self) except -1

    @cython.locals(target=Activity, forwarder=Forwarder, lane=Lane, scheduler=Scheduler, before=Py_ssize_t,
                   count=Py_ssize_t, taken=Py_ssize_t)
    cpdef put(self, list messages, Py_ssize_t octets=*, Py_ssize_t longest=*)

    cdef _forget_taken(self, Py_ssize_t waiting)

    @cython.locals(there=Py_ssize_t, octets=Py_ssize_t, gone=Py_ssize_t, size=Py_ssize_t)
    cpdef _forget_oldest(self, Py_ssize_t count)

    @cython.locals(other=Inlet)
    cpdef Inlet become(self, kind)

    cpdef count(self, Py_ssize_t number)

    @cython.locals(target=Activity)
    cpdef bint hands_on(self) except -1

    @cython.locals(target=Activity)
    cpdef bint takes_batches(self) except -1

    cdef bint _are_batches_for(self, Activity target) except -1
