cimport cython

from .backend.base cimport Backend
from .policy.reply_limit cimport ReplyLimit


cdef class SendQueue:
    cdef int _family
    cdef object _unpaced, _sender, _writable, _pacing, _plain, _ear
    cdef ReplyLimit _active_limit
    cdef readonly object _pacer
    cdef object _queue
    cdef Backend _backend
    cdef Py_ssize_t _limit
    cdef bint _drop_oldest, _open
    cdef public object pending, reply_limit, on_sent, errors
    cdef public Py_ssize_t dropped, dropped_oldest, delayed

    cpdef send(self, message, token)
    cpdef bint send_lone(self, message) except -1
    cdef _pass_on(self, ReplyLimit limit, message)
    cpdef tuple send_many(self, list messages)

    @cython.locals(failures=list, done=Py_ssize_t)
    cdef tuple _send_in_order(self, list messages)

    @cython.locals(refused=list, passed=list, numbers=list)
    cdef tuple _send_limited(self, ReplyLimit limit, list messages)
