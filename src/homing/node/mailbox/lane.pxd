cimport cython


cdef Py_ssize_t _FIRST, _KEPT


@cython.final
cdef class Lane:
    cdef list _ring
    cdef Py_ssize_t _size
    cdef Py_ssize_t _head
    cdef Py_ssize_t _count
    cdef public object sender

    cpdef append(self, entry)
    cpdef appendleft(self, entry)

    cpdef popleft(self)

    @cython.locals(ring=list, at=Py_ssize_t)
    cpdef take(self)

    @cython.locals(at=Py_ssize_t)
    cpdef extend_from(self, sender, list messages)

    cpdef extend(self, entries)
    cpdef clear(self)

    @cython.locals(taken=Lane)
    cpdef take_all(self)

    @cython.locals(at=Py_ssize_t)
    cdef _store(self, Py_ssize_t place, entry)

    cdef _resize(self, Py_ssize_t size)


cpdef make_lane()
