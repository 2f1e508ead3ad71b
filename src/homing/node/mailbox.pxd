cdef class Mailbox:
    cdef public object urgent
    cdef public object system
    cdef public object main
    cdef public object logs
    cdef public list watchers
    cdef public Py_ssize_t limit
    cdef public Py_ssize_t dropped_log
    cdef public bint split
    cdef public bint guarded
    cdef public bint held
    cdef public bint scheduled

    cpdef bint put(self, object entry, int priority, Py_ssize_t limit=*) except -1
