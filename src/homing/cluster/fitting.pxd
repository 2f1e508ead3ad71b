cimport cython

cdef extern from *:
    """
    #ifndef HOMING_FIELDS
    #define HOMING_FIELDS
    #include <structmember.h>
    #if PY_VERSION_HEX < 0x030c0000
    #define HOMING_OBJECT T_OBJECT_EX
    #else
    #define HOMING_OBJECT Py_T_OBJECT_EX
    #endif
    static inline Py_ssize_t homing_place(PyObject *member) {
        if (!PyObject_TypeCheck(member, &PyMemberDescr_Type)) return -1;
        PyMemberDef *told = ((PyMemberDescrObject *) member)->d_member;
        return told->type == HOMING_OBJECT ? told->offset : -1;
    }
    static inline Py_ssize_t homing_first_other(PyObject *value, PyObject *places, PyObject *exact, Py_ssize_t at) {
        Py_ssize_t count = PyBytes_GET_SIZE(places) / (Py_ssize_t) sizeof(Py_ssize_t);
        Py_ssize_t *place = (Py_ssize_t *) PyBytes_AS_STRING(places);
        while (at < count) {
            PyObject *kind = PyTuple_GET_ITEM(exact, at);
            PyObject *part = *(PyObject **) ((char *) value + place[at]);
            if (part == NULL || (PyObject *) Py_TYPE(part) != kind) return at;
            at++;
        }
        return at;
    }
    #endif
    """
    # where in an object the field of a member descriptor is, in bytes; -1 if it is not known
    Py_ssize_t place_of "homing_place"(object member)
    # the first field from `at` on whose class is not the one of `exact`; `at` where no places are known
    Py_ssize_t first_other "homing_first_other"(object value, object places, object exact, Py_ssize_t at)

cdef Py_ssize_t _PLAIN, _TUPLE


cdef class Check:
    cdef readonly object kind

    cpdef bint fits(self, value) except -1


cdef class FieldsCheck(Check):
    cdef readonly tuple names
    cdef readonly tuple exact
    cdef readonly tuple checks
    cdef readonly bytes places

    cpdef fill(self, tuple names, tuple checks)
    @cython.locals(i=Py_ssize_t, check=Check)
    cpdef bint fits(self, value) except -1


cdef bytes _places(kind, tuple names)


cdef class ItemsCheck(Check):
    cdef readonly Check item

    @cython.locals(check=Check)
    cpdef bint fits(self, value) except -1


cdef class TupleCheck(Check):
    cdef readonly tuple items

    @cython.locals(i=Py_ssize_t, check=Check)
    cpdef bint fits(self, value) except -1


cdef class DictCheck(Check):
    cdef readonly Check key
    cdef readonly Check part

    @cython.locals(first=Check, second=Check)
    cpdef bint fits(self, value) except -1


cdef class UnionCheck(Check):
    cdef readonly tuple choices

    @cython.locals(check=Check)
    cpdef bint fits(self, value) except -1


cdef class LiteralCheck(Check):
    cdef readonly tuple values

    cpdef bint fits(self, value) except -1


cdef class LimitedCheck(Check):
    cdef readonly Check inner
    cdef readonly object limits

    @cython.locals(check=Check)
    cpdef bint fits(self, value) except -1


cdef class Outgoing:
    cdef readonly dict numbers
    cdef readonly tuple checks
    cdef readonly object other
    cdef object _kind
    cdef Py_ssize_t _number
    cdef Check _check

    @cython.locals(number=Py_ssize_t)
    cpdef tuple outgoing(self, message)
    @cython.locals(check=Check, at=Py_ssize_t)
    cpdef Py_ssize_t number_of(self, message) except -2
    @cython.locals(check=Check)
    cpdef check(self, Py_ssize_t number, message)


@cython.locals(part=object)
cdef bint is_flat(tuple message) except -1


cdef class Reader:
    cdef readonly object decode
    cdef readonly object decode_many

    cpdef list many(self, bodies)
