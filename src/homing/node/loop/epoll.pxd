# epoll(7), timerfd_create(2), and the C API that Cython does not declare.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <fcntl.h>
    #include <sys/epoll.h>
    #include <sys/timerfd.h>
    #include <time.h>
    #include <unistd.h>

    /* Lets an exception that is set be raised where this is called. */
    static inline int homing_raise_set(void) { return -1; }

    /* Calls a function without arguments. Most are methods of compiled classes, which need no dispatch. */
    static inline PyObject *homing_call(PyObject *function) {
        if (PyCFunction_CheckExact(function) &&
            (PyCFunction_GET_FLAGS(function) & ~METH_COEXIST) == (METH_FASTCALL | METH_KEYWORDS)) {
            PyCFunction method = PyCFunction_GET_FUNCTION(function);
            return ((PyObject * (*)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *))(void (*)(void)) method)(
                PyCFunction_GET_SELF(function), NULL, 0, NULL);
        }
        return PyObject_CallNoArgs(function);
    }

    static inline double homing_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
    }
    """
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int most, int milliseconds) nogil
    int close(int fd)
    ssize_t read(int fd, void* data, size_t size)
    int dup3(int fd, int other, int flags)
    enum:
        O_CLOEXEC
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        CLOCK_MONOTONIC
        TFD_CLOEXEC
        TFD_NONBLOCK
        TFD_TIMER_ABSTIME
    struct timespec:
        long tv_sec
        long tv_nsec
    struct itimerspec:
        timespec it_interval
        timespec it_value
    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec* new, itimerspec* old)
    int raise_set "homing_raise_set"() except -1
    double monotonic "homing_now"() nogil
    PyObject* call "homing_call"(PyObject* function)

cdef extern from "Python.h":
    object PyContext_CopyCurrent()
    int enter "PyContext_Enter"(object context)  # -1: an exception is set
    int PyContext_Exit(object context) except -1
