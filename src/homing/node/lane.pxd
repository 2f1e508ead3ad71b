cimport cython


cdef Py_ssize_t _FIRST, _KEPT


@cython.final
cdef class Lane:
    cdef list _ring
    cdef Py_ssize_t _size
    cdef Py_ssize_t _head
    cdef Py_ssize_t _count

    cpdef append(self, entry)
    cpdef appendleft(self, entry)

    @cython.locals(ring=list, at=Py_ssize_t)
    cpdef popleft(self)

    cpdef extend(self, entries)
    cpdef clear(self)

    @cython.locals(at=Py_ssize_t)
    cdef _store(self, Py_ssize_t place, entry)

    cdef _resize(self, Py_ssize_t size)


cpdef make_lane()
