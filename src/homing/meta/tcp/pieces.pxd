# Pieces of a buffer; interpreted, `decoding` does the same with Python's objects.

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr


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
