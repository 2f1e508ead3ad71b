from ..scheduling.activity cimport Activity


cdef class Process(Activity):
    cdef public dict preserved_mailboxes
    cdef public dict metas
    cdef public object ahead
    cdef public object application
    cdef public object env
    cdef public object set_aside
    cdef public object leader
    cdef public object name
    cdef public object parent
    cdef public object reason
    cdef public dict requests
    cdef public set aliases
    cdef public set events
    cdef public set links
    cdef public set monitors
    cdef public Py_ssize_t letters
    cdef public int open_calls
    cdef public bint ending
    cdef public object hooks
    cdef public object keeper
