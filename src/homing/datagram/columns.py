"""Reads a field of many datagrams at once into numpy arrays, never beyond the end of a datagram."""

from __future__ import annotations

import importlib
from typing import Any

from ..gen import BadOption, NotAllowed
from ..gen.options import check_integer


def _numpy() -> Any:
    """Returns numpy, which is imported only here: everything except columns works without it."""
    try:
        return importlib.import_module("numpy")
    except ImportError:
        raise NotAllowed("column needs numpy, which is not installed: pip install numpy") from None


def read_column(buffer: memoryview, offsets: memoryview, lengths: memoryview, dtype: Any, at: int) -> tuple[Any, Any]:
    """Returns the values of the field that begins at byte `at` of each datagram, and booleans that tell which datagrams
    contain the whole field. See `DatagramBatch.column`."""
    np = _numpy()
    at = check_integer("at", at, 0, 65535)
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise BadOption("dtype", dtype, f"numpy says: {error}") from None
    if kind.itemsize == 0 or kind.hasobject:
        raise BadOption("dtype", dtype, 'give a type of fixed size without references, such as ">u4"')
    starts, sizes = np.frombuffer(offsets, np.intc), np.frombuffer(lengths, np.intc)
    valid = sizes >= at + kind.itemsize
    if not valid.any():
        return np.zeros(len(sizes), kind), valid
    # A view with a value at each byte of the buffer; the values at which a field begins are taken from it. This takes a
    # quarter of the time of gathering the bytes of each field.
    everywhere = np.ndarray(len(buffer) - kind.itemsize + 1, kind, buffer, 0, (1,))
    if valid.all():
        return everywhere[starts + at], valid
    values = np.zeros(len(sizes), kind)
    values[valid] = everywhere[starts[valid] + at]
    return values, valid
