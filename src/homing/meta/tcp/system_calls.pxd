# recv(2) and send(2), and pieces of a buffer; interpreted, `stream` and `decoding` do the same with Python's objects.

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memchr

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL
    ssize_t c_recv "recv"(int fd, void* data, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)


cdef inline Py_ssize_t receive(int fd, bytearray buffer) except -2:
    """Returns the number of bytes that were received; -1 if none wait."""
    cdef ssize_t count
    cdef char* data
    cdef size_t size
    if buffer is None:
        raise TypeError("there is no buffer")
    data = PyByteArray_AS_STRING(buffer)
    size = PyByteArray_GET_SIZE(buffer)
    with nogil:
        count = c_recv(fd, data, size, MSG_DONTWAIT)
    if count < 0:
        if errno == EAGAIN or errno == EINTR:
            return -1
        PyErr_SetFromErrno(OSError)
        return -2
    return count


cdef inline Py_ssize_t send_bytes(int fd, bytes data) except -2:
    """Returns the number of bytes that the system has taken; -1 if it has no room."""
    cdef ssize_t count
    cdef const char* start
    cdef size_t size
    if data is None:
        raise TypeError("there is no data")
    start = PyBytes_AS_STRING(data)
    size = PyBytes_GET_SIZE(data)
    with nogil:
        count = c_send(fd, start, size, MSG_DONTWAIT | MSG_NOSIGNAL)
    if count < 0:
        if errno == EAGAIN or errno == EINTR:
            return -1
        PyErr_SetFromErrno(OSError)
        return -2
    return count


cdef inline bytes piece(bytearray buffer, Py_ssize_t start, Py_ssize_t end):
    """Returns the bytes from `start` to `end`, which are in the buffer."""
    if buffer is None or start < 0 or start > end or end > PyByteArray_GET_SIZE(buffer):
        raise IndexError("out of the buffer")
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buffer) + start, end - start)


cdef inline Py_ssize_t find(bytearray buffer, bytes mark, Py_ssize_t start, Py_ssize_t end) except -2:
    """Returns where `mark` begins, from `start` on and before `end`; -1: nowhere."""
    cdef char* data
    cdef char* found
    if buffer is None or mark is None:
        raise TypeError("there is no buffer")
    if PyBytes_GET_SIZE(mark) != 1:
        return buffer.find(mark, start, end)
    if start < 0 or end > PyByteArray_GET_SIZE(buffer):
        raise IndexError("out of the buffer")
    if start >= end:
        return -1
    data = PyByteArray_AS_STRING(buffer)
    found = <char*> memchr(data + start, PyBytes_AS_STRING(mark)[0], end - start)
    return -1 if found is NULL else found - data


cdef inline bint has_mark(bytes data, bytes mark) except -1:
    """Returns True if `mark` is in `data`."""
    if data is None or mark is None:
        raise TypeError("there is no data")
    if PyBytes_GET_SIZE(mark) != 1:
        return mark in data
    return memchr(PyBytes_AS_STRING(data), PyBytes_AS_STRING(mark)[0], PyBytes_GET_SIZE(data)) is not NULL
