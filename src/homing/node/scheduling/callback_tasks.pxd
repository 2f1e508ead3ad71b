cimport cython

from .activity cimport Activity
from .slices cimport Slices
from ..mailbox.c_functions cimport PyContext_Enter, PyContext_Exit, begin_coroutine, reference_count

cdef dict _CURRENT_TASKS
cdef bint _COMPILED
cdef object _NAME, _RETURNED, _RUNNING, _name_of

@cython.locals(current=dict)
cpdef enter_task(loop, task)

cpdef enter_again(loop, task)

@cython.locals(current=dict)
cpdef _enter_none(loop)


cdef class CallbackTasks:
    cdef public Slices scheduler
    cdef public object loop
    cdef CallbackTask _first
    cdef Py_ssize_t _spare
    cdef bint _closed
    cdef object _done

    cpdef CallbackTask take(self)

    @cython.locals(callback_task=CallbackTask)
    cpdef start(self, Activity activity, pending, double deadline, Py_ssize_t budget)
    cpdef bint keep(self, CallbackTask callback_task) except -1


cdef class Gate:
    cdef public bint _asyncio_future_blocking
    cdef public bint asked
    cdef public bint busy
    cdef readonly bint canceled
    cdef public object wakeup
    cdef object _context
    cdef object _loop
    cdef object _message


cdef class CallbackTask:
    cdef public Activity activity
    cdef public object pending
    cdef public double deadline
    cdef public Py_ssize_t budget
    cdef public object waits_for
    cdef public bint touched
    cdef public CallbackTask following
    cdef public Gate gate
    cdef public object task
    cdef public Slices scheduler
    cdef CallbackTasks _pool
    cdef object _context
    cdef object _loop
    cdef bint _inside
    cdef Py_ssize_t _before
    cdef Py_ssize_t _references
    cdef Py_ssize_t _weak_references

    @cython.locals(handled=Py_ssize_t, gate=Gate)
    cpdef begin(self, Activity activity, pending, double deadline, Py_ssize_t budget)
    cpdef bint start_callback(self, pending, entry) except -1

    @cython.locals(begun=bint)
    cpdef _begin_now(self, pending, entry)

    cpdef _step(self)
    cpdef waited(self, Py_ssize_t before)
    @cython.locals(count=Py_ssize_t)
    cpdef look(self)
    cpdef Py_ssize_t references(self) except -1
