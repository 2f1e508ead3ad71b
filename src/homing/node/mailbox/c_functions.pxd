# C functions that compiled modules use; interpreted, `lane.STAND_INS` stand for them where both run.

cdef extern from "pythread.h" nogil:
    unsigned long thread_ident "PyThread_get_thread_ident"()

cdef extern from * nogil:
    """
    #ifndef HOMING_CLOCK
    #define HOMING_CLOCK
    #include <time.h>
    static inline double homing_clock(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double) time.tv_sec + 1e-9 * (double) time.tv_nsec;
    }
    #endif
    """
    double clock "homing_clock"()  # as `time.perf_counter` on Linux, without its object

cdef extern from "Python.h":
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    Py_ssize_t reference_count "Py_REFCNT"(object counted)

cdef extern from * nogil:
    """
    #ifndef HOMING_BEGIN
    #define HOMING_BEGIN
    static inline PyObject *homing_begin(PyObject *coroutine, PyObject *returned) {
        PyObject *result = NULL;
        if (PyIter_Send(coroutine, Py_None, &result) == PYGEN_RETURN) {
            Py_DECREF(result);
            Py_INCREF(returned);
            return returned;
        }
        return result;
    }
    #endif
    """

cdef extern from *:
    # begins a coroutine; `returned` if it has returned, otherwise what it waits for
    object begin_coroutine "homing_begin"(object coroutine, object returned)

cdef extern from *:
    """
    #ifndef HOMING_SET_ITEM
    #define HOMING_SET_ITEM
    static inline void homing_set_item(PyObject *list, Py_ssize_t at, PyObject *value) {
        PyObject *before = PyList_GET_ITEM(list, at);
        Py_INCREF(value);
        PyList_SET_ITEM(list, at, value);
        Py_DECREF(before);
    }
    #endif
    """
    void set_item "homing_set_item"(list values, Py_ssize_t at, object value)  # without a check of `at`
