cimport cython

from ..mailbox.c_functions cimport clock
from ..mailbox.lane cimport Lane, filled
from ..scheduling.activity cimport Activity
from ..scheduling.callback_tasks cimport CallbackTask, CallbackTasks
from .shared_mailbox cimport SharedMailbox

cdef object _SLEEP, _RUNNING, _WAIT, _ZOMBIE, _TERMINATED
cdef Py_ssize_t _CLOCK_STEP


cdef class Place(Activity):
    cdef public bint counted
    cdef public Place following
    cdef public object key
    cdef public ConcurrentProcess process

    @cython.locals(process=ConcurrentProcess, count=Py_ssize_t, check=Py_ssize_t, parked=Py_ssize_t, began=bint)
    cpdef advance(self, double deadline, Py_ssize_t budget, CallbackTask callback_task)

    cpdef continue_turn(self, pending, double deadline, Py_ssize_t budget, CallbackTask callback_task)

    @cython.locals(process=ConcurrentProcess)
    cpdef leave(self)

    cpdef turn_over(self)


cdef class ConcurrentProcess(SharedMailbox):
    cdef bint _blocked
    cdef Place _free
    cdef Py_ssize_t _most
    cdef list _places
    cdef object _ending_for
    cdef bint _turning

    @cython.locals(callback_tasks=CallbackTasks, callback_task=CallbackTask, place=Place, last=Py_ssize_t)
    cpdef turn(self, double deadline, Py_ssize_t budget)

    cpdef turn_with(self, sender, message, double deadline, Py_ssize_t budget)

    @cython.locals(place=Place)
    cpdef Place _take_place(self)
    cpdef _keep(self, Place place)
    cpdef place_over(self, Place place)
    cpdef _rest(self)
    cpdef _wait(self)
