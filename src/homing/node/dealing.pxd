cimport cython

from .lane cimport Lane
from .process cimport Process
from .scheduler cimport Scheduler


cpdef bint has_room(Process receiver) except -1

@cython.locals(scheduler=Scheduler)
cpdef bint hand(Process receiver, object entry) except -1

@cython.locals(number=Py_ssize_t)
cpdef Py_ssize_t next_with_room(list receivers, Py_ssize_t last) except? -1

@cython.locals(dealt=Py_ssize_t, number=Py_ssize_t, receiver=Process, scheduler=Scheduler)
cpdef deal(Lane main, list receivers, Py_ssize_t last, Py_ssize_t most)
