cimport cython

from .process cimport Process

cdef object _RUNNING, _WAIT, _ZOMBIE


@cython.locals(running=Py_ssize_t, zombies=Py_ssize_t, aliases=Py_ssize_t, process=Process, state=object)
cpdef take_census(processes)
