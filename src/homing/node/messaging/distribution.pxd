cimport cython

from ..mailbox.lane cimport Lane
from ..processes.process cimport Process
from ..scheduling.scheduler cimport Scheduler

cdef object _SLEEP, _TERMINATED


cdef bint _full(Process receiver) except -1

cpdef bint has_room(Process receiver) except -1

cpdef bint hand(Process receiver, object entry) except -1

@cython.locals(scheduler=Scheduler, lane=Lane)
cdef _put(Process receiver, object entry)

@cython.locals(number=Py_ssize_t)
cpdef Py_ssize_t next_with_room(list receivers, Py_ssize_t last) except? -1

@cython.locals(number=Py_ssize_t, found=Py_ssize_t, least=Py_ssize_t, waiting=Py_ssize_t, load=Py_ssize_t, receiver=Process)
cpdef Py_ssize_t least_loaded(list receivers, Py_ssize_t last) except? -1

@cython.locals(count=Py_ssize_t, number=Py_ssize_t, receiver=Process)
cpdef distribute(Lane main, list receivers, Py_ssize_t last, Py_ssize_t most, bint by_load)

@cython.locals(count=Py_ssize_t, number=Py_ssize_t, receiver=Process)
cpdef distribute_by_key(Lane main, list receivers, places, key, addressed, Py_ssize_t most, refuse)
