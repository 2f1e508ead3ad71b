cimport cython

from ..node.scheduling.scheduler cimport Scheduler
from .fitting cimport Outgoing


cdef class OutLane:
    cdef readonly int number
    cdef public object sent
    cdef public object probed
    cdef public object ready
    cdef public bytearray buffer
    cdef public Py_ssize_t frames
    cdef public Py_ssize_t messages
    cdef public Py_ssize_t run
    cdef public Py_ssize_t run_at
    cdef public Py_ssize_t start
    cdef public Py_ssize_t kind
    cdef public object target
    cdef public object sender

    cpdef clear(self)
    cpdef end_run(self)


cdef class Outbox:
    cdef object _engine
    cdef object _peer
    cdef object _loop
    cdef object _ready
    cdef Scheduler _scheduler
    cdef object _types
    cdef Outgoing _sorter
    cdef bint _posted
    cdef bint _busy
    cdef list _later
    cdef list _sources
    cdef readonly tuple lanes
    cdef OutLane _main
    cdef public object epoch
    cdef public object peer_epoch
    cdef public Py_ssize_t window
    cdef public Py_ssize_t limit
    cdef public Py_ssize_t high
    cdef public Py_ssize_t low
    cdef public Py_ssize_t max_message
    cdef public object overflow
    cdef public bint open
    cdef public bint closed
    cdef public bint over
    cdef public object on_high
    cdef public object on_low
    cdef public object on_dropped
    cdef public Py_ssize_t waiting
    cdef public Py_ssize_t messages
    cdef public Py_ssize_t batches
    cdef public Py_ssize_t dropped
    cdef public long long sent_bytes
    cdef public long long acked_bytes
    cdef public long long received_bytes
    cdef public long long told_bytes
    cdef public long long total_bytes

    @cython.locals(lane=OutLane, kind=Py_ssize_t, buffer=bytearray, before=Py_ssize_t, start=Py_ssize_t, size=Py_ssize_t, at=Py_ssize_t, first=bint, earlier=bytes)
    cpdef bint send(self, target, sender, bytes head, message) except -1
    @cython.locals(lane=OutLane, kind=Py_ssize_t, buffer=bytearray, start=Py_ssize_t, size=Py_ssize_t, at=Py_ssize_t)
    cpdef bint enclose(self, bytes before, message, bytes after, int number, bint must=*, target=*) except -1
    cpdef tuple encode(self, message)
    @cython.locals(lane=OutLane)
    cpdef bint post(self, frame, int number=*, bint must=*, target=*) except -1
    cpdef _append(self, OutLane lane, bytes data, bint is_message)
    cpdef bint _admits(self, OutLane lane, bint must, target) except -1
    cpdef bint _has_room(self, target) except -1
    cpdef _post(self)
    cpdef hold(self)
    cpdef before_flush(self, source)
    cpdef flush(self)
    @cython.locals(lane=OutLane)
    cpdef _push_all(self)
    @cython.locals(buffer=bytearray)
    cpdef _cut(self, OutLane lane)
    @cython.locals(size=Py_ssize_t, free=bint, buffer=bytearray)
    cpdef _push(self, OutLane lane)
    @cython.locals(lane=OutLane, buffer=bytearray)
    cpdef probe(self)
    @cython.locals(light=bint)
    cpdef _put(self, OutLane lane, bytearray buffer, Py_ssize_t frames)


cdef bytes _number(Py_ssize_t kind)
cdef list _NUMBERS
cdef object _encode, _encode_into
cdef bytes _COUNT, _HEAD
cdef Py_ssize_t _LIGHT
