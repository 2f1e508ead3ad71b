from libc.stdint cimport uint32_t

from .arena cimport Slot


ctypedef struct Instruction:
    unsigned short code
    unsigned char yes
    unsigned char no
    uint32_t number


cdef class Verdict:
    cdef Instruction* _program
    cdef int _count

    cdef bint passes(self, const unsigned char* data, Py_ssize_t length, const Slot* slot) noexcept nogil
    cdef Py_ssize_t keep(self, Slot* slot) noexcept nogil
