from libc.stdint cimport uint32_t, uint64_t


cdef class Callback:
    cdef object function
    cdef object context
    cdef object handle

    cdef int withdraw(self) except -1


cdef class Registration:
    cdef int fd
    cdef uint32_t generation
    cdef uint32_t events
    cdef bint known
    cdef object key
    cdef Callback reader
    cdef Callback writer
    cdef Callback watcher

    cdef uint32_t wanted(self) noexcept
    cdef int forget(self) except -1


cdef class Registrations:
    cdef int _epoll
    cdef list _by_fd
    cdef uint32_t _generation
    cdef readonly Py_ssize_t served

    cdef Registration of(self, uint64_t tag)
    cdef int renew(self) noexcept
    cdef int park(self, Registration registration) except -1
    cdef Registration _at(self, long long fd)
    cdef Registration _registered(self, fileobj)
    cdef int _fd_of(self, fileobj) except -1
    cdef int _drop(self, Registration registration) except -1
    cdef int _set(self, int fd, int role, function) except -1
    cdef int _unset(self, Registration registration, int role) except -1
    cdef bint _change(self, Registration registration, uint32_t events) noexcept
    cdef int _add(self, Registration registration, uint32_t events) except -1
