cimport cython

from .c_functions cimport set_item


cdef Py_ssize_t _FIRST, _KEPT
cdef list _NO_ROOM


@cython.final
cdef class Lane:
    cdef list _ring
    cdef Py_ssize_t _size
    cdef Py_ssize_t _head
    cdef Py_ssize_t _count
    cdef readonly object sender

    cpdef append(self, entry)

    @cython.locals(at=Py_ssize_t)
    cpdef put(self, sender, message)

    @cython.locals(at=Py_ssize_t)
    cpdef appendleft(self, entry)

    cpdef popleft(self)

    @cython.locals(ring=list, at=Py_ssize_t)
    cpdef take(self)

    @cython.locals(ring=list, at=Py_ssize_t, end=Py_ssize_t)
    cpdef extend_from(self, sender, list messages)

    cpdef extend(self, entries)

    @cython.locals(ring=list)
    cpdef clear(self)

    @cython.locals(taken=Lane)
    cpdef take_all(self)

    @cython.locals(found=list, ring=list, dropped=Py_ssize_t, end=Py_ssize_t, left=Py_ssize_t, to=Py_ssize_t, at=Py_ssize_t, into=Py_ssize_t, number=Py_ssize_t)
    cpdef Py_ssize_t drop_oldest(self, sender, Py_ssize_t count, Py_ssize_t depth) except -1

    @cython.locals(fresh=list, ring=list, size=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, at=Py_ssize_t)
    cdef _grow(self, Py_ssize_t least=*)

    @cython.locals(number=Py_ssize_t, at=Py_ssize_t)
    cdef list _entries(self)


cdef inline bint filled(Lane lane) noexcept:
    return lane is not None and lane._count > 0


cpdef make_lane()
