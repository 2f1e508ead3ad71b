cimport cython

from ..message cimport MessageUDP
from .guard cimport Guard
from .limiter cimport Limiter


cdef class ReplyLimit:
    cdef readonly Limiter limiter
    cdef readonly Guard guard
    cdef object _shorten

    cpdef look_at_clock(self)

    @cython.locals(slipped=cython.longlong)
    cpdef MessageUDP pass_on(self, MessageUDP message)

    @cython.locals(passed=list, numbers=list, index=Py_ssize_t, message=MessageUDP)
    cpdef tuple divide(self, list messages, list failures)
