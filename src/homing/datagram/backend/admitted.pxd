from ..policy.admission cimport Admission
from ..policy.budget cimport Budget
from .arena cimport Arena, Slot

cdef Py_ssize_t admit(Admission admission, Arena arena, int* got) except -1
cdef Py_ssize_t admitted(Admission admission, Slot* slot, Py_ssize_t count) except -1
cdef Py_ssize_t admit_noting(Admission admission, Arena arena, int* got, int asked, holes, bint timed) except -1
cdef Py_ssize_t admitted_noting(Admission admission, Slot* slot, Py_ssize_t* count, holes, bint timed) except -1
cdef int hear(Budget budget, Slot* slot, Py_ssize_t most) except -1
cdef Py_ssize_t fitting(Admission admission, Slot* slot) except -1
