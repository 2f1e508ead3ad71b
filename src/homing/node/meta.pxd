from .activity cimport Activity


cdef class MetaProcess(Activity):
    cdef public object owner
    cdef object _log
    cdef object _source
