cimport cython

from .counters cimport Counters
from .decoding cimport Decoder
from .hub cimport Hub
from .inflow cimport Inflow
from .messages cimport MessageTCP, frame_of
from .times cimport Times


cdef class Connection(Times):
    cdef public Hub hub
    cdef public Inflow inflow
    cdef public object number, addr, source, transport, info, end
    cdef public bint queued, lost
    cdef public long long asked, answered
    cdef Decoder _decoder
    cdef bint _finished, _announced, _told, _reading, _waits_for_rate, _drains, _abandoned, _paused
    cdef list _held, _out

    cpdef buffer(self, Py_ssize_t size)

    @cython.locals(hub=Hub, inflow=Inflow)
    cpdef received(self, Py_ssize_t size)

    cpdef bint has_more(self) except -1
    cpdef deliver(self)

    @cython.locals(hub=Hub, messages=list, frames=list)
    cpdef list take(self, Py_ssize_t most)

    @cython.locals(held=list, frames=list)
    cdef list _take_frames(self, Py_ssize_t most)

    cdef list _within_rate(self, Py_ssize_t most)

    @cython.locals(waits=bint, unfinished=bint, wanted=bint)
    cpdef settle(self)

    cpdef bytes encode(self, data)
    cpdef bint put_now(self, MessageTCP message) except -1
    cpdef bint put(self, bytes data, bint answers) except -1

    @cython.locals(out=list, data=bytes, counters=Counters)
    cpdef flush(self)

    cdef bint _is_closing(self) except -1
    cdef bint _is_secured(self) except -1
