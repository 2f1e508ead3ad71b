cimport cython

from ..message cimport MessageUDP
from .budget cimport Budget
from .guard cimport Guard
from .limiter cimport Limiter


cdef class ReplyLimit:
    cdef readonly Limiter limiter
    cdef readonly Guard guard
    cdef readonly Budget budget
    cdef object _shorten

    cpdef look_at_clock(self)

    cpdef MessageUDP pass_on(self, MessageUDP message)

    @cython.locals(slipped=cython.longlong)
    cdef MessageUDP _within_rate(self, MessageUDP message)

    @cython.locals(budget=Budget, shorter=MessageUDP)
    cdef MessageUDP _within_budget(self, MessageUDP message)

    @cython.locals(passed=list, numbers=list, index=Py_ssize_t, message=MessageUDP)
    cpdef tuple divide(self, list messages, list failures)


cdef MessageUDP _shortened(MessageUDP message, shorten)
