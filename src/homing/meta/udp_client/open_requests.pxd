from .request cimport Request


cdef class Table:
    cdef readonly dict keyed
    cdef readonly dict others
    cdef dict _long
    cdef list _lengths

    cpdef add(self, Request request)
    cpdef remove(self, Request request)
    cdef _add_long(self, Request request)
    cdef _remove_long(self, Request request)


cdef class OpenRequests:
    cdef object _peer
    cdef Table _all
    cdef dict _by_peer
    cdef readonly Py_ssize_t count

    cpdef add(self, Request request)
    cpdef remove(self, Request request)
    cpdef Request same_key(self, peer, key)
    cpdef Table answered_by(self, source)
    cpdef Table sent_to(self, peer)
    cdef Table _of(self, peer)
