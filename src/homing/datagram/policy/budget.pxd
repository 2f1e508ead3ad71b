cimport cython
from libc.stdint cimport uint64_t

from ..message cimport MessageUDP
from .address_table cimport AddressTable, rest_of
from .networks cimport Networks

cdef double _FOREVER


cdef class Budget:
    cdef readonly bint active
    cdef public long long limited
    cdef public long long limited_bytes
    cdef public long long dry_limited
    cdef public long long dry_limited_bytes
    cdef public long long unknown
    cdef public long long shortened
    cdef public long long validations
    cdef public long long evicted
    cdef public Py_ssize_t skip
    cdef public object shorten
    cdef public object is_proven
    cdef object _options
    cdef object _clock
    cdef AddressTable _heard
    cdef AddressTable _validated
    cdef Networks _exempt
    cdef double _factor
    cdef double _validity
    cdef double _tick
    cdef bint _dry_run

    cpdef apply(self, options)
    cpdef inherit(self, Budget other)

    @cython.locals(heard=AddressTable, validated=AddressTable, now=double)
    cpdef tuple rows(self, Py_ssize_t most)

    @cython.locals(table=AddressTable, known=AddressTable, row=Py_ssize_t, now=double, end=double)
    cpdef add_rows(self, list heard, list validated)

    @cython.locals(table=AddressTable, row=Py_ssize_t)
    cpdef heard(self, bint four, uint64_t high, uint64_t low, uint64_t rest, Py_ssize_t size)

    cpdef heard_from(self, address, Py_ssize_t size)

    @cython.locals(table=AddressTable, number=tuple, row=Py_ssize_t, rest=uint64_t, size=Py_ssize_t, total=uint64_t)
    cpdef bint takes(self, MessageUDP message) except -1

    @cython.locals(exempt=Networks, validated=AddressTable, row=Py_ssize_t)
    cdef bint _is_free(self, bint four, uint64_t high, uint64_t low, uint64_t rest, address) except -1

    @cython.locals(table=AddressTable, number=tuple, size=Py_ssize_t)
    cpdef bint refuses(self, MessageUDP message) except -1

    @cython.locals(table=AddressTable, number=tuple, row=Py_ssize_t, rest=uint64_t, now=double, known=Py_ssize_t)
    cpdef validate(self, address)

    cdef double _now(self) except? -1


cdef uint64_t _rest_in(address) except? 0
cdef Py_ssize_t _size_of(data) except -1
