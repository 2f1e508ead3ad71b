from ..mailbox.mailbox cimport Mailbox

cdef object _INIT, _ZOMBIE, _TERMINATED


cdef class OwnedMailbox(Mailbox):
    cdef public object core
    cdef public object hand
    cdef public object id
    cdef public object scheduler
    cdef public object state
    cdef public set timers
