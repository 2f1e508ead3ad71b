cimport cython

from ..mailbox.c_functions cimport clock
from ..mailbox.lane cimport Lane, filled
from .callback_tasks cimport CallbackTask, CallbackTasks
from .forwarder cimport Forwarder
from .owned_mailbox cimport OwnedMailbox
from .slices cimport Slices

cdef object _SLEEP, _RUNNING, _ZOMBIE, _TERMINATED


cdef class Activity(OwnedMailbox):
    cdef public Activity acts_for
    cdef public object behavior
    cdef public object handler
    cdef public object idle
    cdef public Forwarder forwarder
    cdef public object options
    cdef public object sender
    cdef public object task
    cdef public dict routes
    cdef public dict pending
    cdef public bint forwards
    cdef public bint fed
    cdef public Py_ssize_t longest
    cdef public Activity last_target
    cdef public Activity held_by
    cdef public Activity told_by
    cdef public Py_ssize_t holds
    cdef public Py_ssize_t handled
    cdef public Py_ssize_t messages_out
    cdef public double running_time
    cdef public double started_at
    cdef public Py_ssize_t stalls

    @cython.locals(callback_tasks=CallbackTasks)
    cpdef turn(self, double deadline, Py_ssize_t budget)

    @cython.locals(scheduler=Slices, callback_tasks=CallbackTasks)
    cpdef turn_with(self, sender, message, double deadline, Py_ssize_t budget)

    @cython.locals(forwarder=Forwarder, count=Py_ssize_t, check=Py_ssize_t, forwards=bint, lane=Lane, main=Lane, sender=object, message=object, entry=object, result=object)
    cpdef advance(self, double deadline, Py_ssize_t budget, CallbackTask callback_task)

    cpdef continue_turn(self, pending, double deadline, Py_ssize_t budget, CallbackTask callback_task)
    cpdef turn_over(self)
    cpdef _rest(self)
    cdef bint _falls_asleep(self) except -1

    @cython.locals(scheduler=Slices)
    cpdef _wait(self)
