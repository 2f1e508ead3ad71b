cdef object _COMPILED, _INTERPRETED

cpdef bint is_coroutine(value)
