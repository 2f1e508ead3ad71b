"""Code in which one allocation fails, at each place in turn."""

from __future__ import annotations

import gc
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_starving = pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="Python has no _testcapi")


@contextmanager
def failing(number: int) -> Iterator[None]:
    """Lets one allocation fail, the one of that number from here on, and passes over what is raised of it.

    The garbage collector rests meanwhile: it would call what other libraries have put into `gc.callbacks` (hypothesis
    does), and the allocation that fails would be theirs.
    """
    nomemory = importlib.import_module("_testcapi")  # of CPython's own tests
    collects = gc.isenabled()
    gc.disable()
    nomemory.set_nomemory(number, number + 1)
    try:
        yield
    except (MemoryError, SystemError):
        pass  # CPython 3.11 makes a SystemError of an exception for whose traceback there is no memory
    finally:
        nomemory.remove_mem_hooks()
        if collects:
            gc.enable()
