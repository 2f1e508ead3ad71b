cimport cython

from .pieces cimport find, has_mark, piece

cdef Py_ssize_t _COMPACT, _LONG


cdef class Decoder:
    cdef readonly bint more, own
    cdef readonly object error
    cdef bytearray _data
    cdef Py_ssize_t _at

    cpdef Py_ssize_t unfinished(self) except -1
    cpdef bytes alone(self, bytearray buffer, Py_ssize_t size)
    cdef bytes _alone(self, bytearray buffer, Py_ssize_t size)
    cpdef feed(self, data)

    @cython.locals(frames=list)
    cpdef list take(self, Py_ssize_t most)

    cdef _moved(self, Py_ssize_t by)
    cdef bint _take(self, list frames, Py_ssize_t most) except -1
    cpdef bytes encode(self, data)


cdef class LengthDecoder(Decoder):
    cdef Py_ssize_t _size, _most, _extra
    cdef bint _big

    @cython.locals(start=Py_ssize_t, length=Py_ssize_t)
    cdef bytes _alone(self, bytearray buffer, Py_ssize_t size)

    @cython.locals(size=Py_ssize_t, length=Py_ssize_t, index=Py_ssize_t)
    cdef Py_ssize_t _length_at(self, bytearray data, Py_ssize_t at) except? -1

    @cython.locals(data=bytearray, at=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t, start=Py_ssize_t, length=Py_ssize_t)
    cdef bint _take(self, list frames, Py_ssize_t most) except -1

    @cython.locals(plain=bytes)
    cpdef bytes encode(self, data)


cdef class DelimiterDecoder(Decoder):
    cdef bytes _mark
    cdef Py_ssize_t _most, _searched

    @cython.locals(end=Py_ssize_t)
    cdef bytes _alone(self, bytearray buffer, Py_ssize_t size)

    @cython.locals(data=bytearray, mark=bytes, at=Py_ssize_t, width=Py_ssize_t, begin=Py_ssize_t, size=Py_ssize_t,
                   found=Py_ssize_t)
    cdef bint _take(self, list frames, Py_ssize_t most) except -1

    cdef _moved(self, Py_ssize_t by)

    @cython.locals(plain=bytes, frame=bytes, length=Py_ssize_t)
    cpdef bytes encode(self, data)


cdef class RawDecoder(Decoder):
    cdef Py_ssize_t _most

    cdef bytes _alone(self, bytearray buffer, Py_ssize_t size)

    @cython.locals(end=Py_ssize_t)
    cdef bint _take(self, list frames, Py_ssize_t most) except -1

    cpdef bytes encode(self, data)


cdef class ForeignDecoder(Decoder):
    cdef object _framing, _drawn
    cdef Py_ssize_t _fed

    cpdef Py_ssize_t unfinished(self) except -1
    cdef bint _take(self, list frames, Py_ssize_t most) except -1
    cdef _next(self)
    cpdef bytes encode(self, data)
