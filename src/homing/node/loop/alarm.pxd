from libc.stdint cimport uint64_t

cdef enum:
    # The tag of its events; no descriptor has it.
    ALARM = -1


cdef class Alarm:
    cdef int _fd
    cdef bint _refused
    cdef double _due

    cdef bint covers(self, double end) noexcept
    cdef bint set(self, int epoll, double end) noexcept
    cdef int watch(self, int epoll) noexcept
    cdef int rang(self) noexcept
    cdef int close(self) noexcept
