# Memory of messages that have ended is kept for the next ones: to make a message then costs a third. The types of
# Cython can do so too (`cython.freelist`), but not those of a module that also runs interpreted.

from cpython.object cimport PyObject

cdef extern from *:
    """
    #if !defined(Py_GIL_DISABLED) && !defined(__SANITIZE_ADDRESS__)
    enum { HOMING_SPARES = 512 };
    static PyObject *homing_spares[HOMING_SPARES];
    static int homing_spare_count = 0, homing_most_spares = HOMING_SPARES;
    static PyTypeObject *homing_spare_type = NULL;

    /* As PyType_GenericAlloc: cleared, and known to the garbage collector. */
    static PyObject *homing_alloc(PyTypeObject *type, Py_ssize_t items) {
        PyObject *made;
        if (homing_spare_count == 0 || type != homing_spare_type)
            return PyType_GenericAlloc(type, items);
        made = homing_spares[--homing_spare_count];
        memset((char *) made + sizeof(PyObject), 0, (size_t) type->tp_basicsize - sizeof(PyObject));
        PyObject_Init(made, type);
        PyObject_GC_Track(made);
        return made;
    }

    static void homing_free(void *ended) {
        if (homing_spare_count < homing_most_spares && Py_TYPE((PyObject *) ended) == homing_spare_type)
            homing_spares[homing_spare_count++] = (PyObject *) ended;
        else
            PyObject_GC_Del(ended);
    }

    /* Subclasses get functions of their own from Python. */
    static void homing_keep_spares(PyObject *type) {
        PyTypeObject *kept = (PyTypeObject *) type;
        if (homing_spare_type != NULL || kept->tp_flags & Py_TPFLAGS_HEAPTYPE || kept->tp_itemsize)
            return;
        homing_spare_type = kept;
        kept->tp_alloc = homing_alloc;
        kept->tp_free = homing_free;
    }

    static void homing_limit_spares(int most) {
        homing_most_spares = most < 0 ? 0 : most < HOMING_SPARES ? most : HOMING_SPARES;
        while (homing_spare_count > homing_most_spares)
            PyObject_GC_Del(homing_spares[--homing_spare_count]);
    }
    #else
    static void homing_keep_spares(PyObject *type) { (void) type; }
    static void homing_limit_spares(int most) { (void) most; }
    #endif
    """
    void keep_spares "homing_keep_spares"(object type)
    void limit_spares "homing_limit_spares"(int most)
