"""The selector of `new_event_loop`: epoll(7) in C. Linux only.

It serves two kinds of descriptors. Those of the loop's own readers and writers are returned by `select`, as by any
selector. Those of `on_readable`, `on_writable` and `on_error` are served at once: their callbacks run within `select`,
without handles. `select` then waits again, and does so until something else is due: an event of the first kind, a
callback or a timer of the loop's, its stop, or the end of the timeout.
"""

from abc import ABCMeta
from asyncio import Handle
from collections import deque
from selectors import EVENT_READ as _READ, EVENT_WRITE as _WRITE, BaseSelector, SelectorKey

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint32_t, uint64_t

from ...gen.retrying import twice
from .alarm cimport ALARM, Alarm
from .epoll cimport (
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    PyContext_Exit,
    call,
    enter,
    epoll_event,
    epoll_wait,
    monotonic,
    raise_set,
)
from .registration cimport Callback, Registration, Registrations

cdef enum:
    # Events of one system call. More are reported by the next ones: epoll lets all have their turn.
    MOST = 128
    # Timers that callbacks may add before the loop has its turn, unless they are due earlier than those it knows:
    # it is the loop that drops cancelled ones.
    TIMERS = 64
    # Milliseconds. So short a wait is one with a timeout.
    SOON = 2
    LONGEST = 0x7fffffff

cdef double PORTION = 0.002
"""Seconds of polling after which signals and the loop are looked at."""


cdef class Selector(Registrations):
    """A selector of one event loop.

    debug: the loop is in its debug mode: callbacks then go through handles of the loop's, which measures them.
    spin: seconds after an event for which it polls again and again before it sleeps. 0: it sleeps at once.
    spun: seconds that it has spent so.
    """

    cdef object _loop
    cdef object _ready
    cdef bint _leave
    cdef public bint debug
    cdef readonly double spin
    cdef readonly double spun
    cdef double _until
    cdef bint _fresh
    cdef Alarm _alarm

    def __init__(self, double spin=0.0):
        Registrations.__init__(self)
        self.spin = spin
        self._alarm = Alarm()

    def attach(self, loop):
        """Serves `loop`, whose queue of ready callbacks tells when to return to it."""
        self._loop = loop
        ready = getattr(loop, "_ready", None)
        self._ready = ready if type(ready) is deque else None

    def leave(self):
        """Makes `select` return without waiting, now or when it is called next."""
        self._leave = True

    def close(self):
        Registrations.close(self)
        self._alarm.close()
        self._loop = self._ready = None

    def select(self, timeout=None):
        """Returns the keys that are ready, with their events, after at most `timeout` seconds; None: when there are any.
        It may return none earlier, when the loop has something to do. Raises `OSError`, and what signal handlers raise,
        as well as `KeyboardInterrupt` and `SystemExit` of a callback."""
        cdef epoll_event events[MOST]
        cdef int count, wait
        cdef bint stays, more
        cdef double end = 0.0
        cdef list timers = None
        cdef object first = None
        cdef Py_ssize_t known = 0
        cdef Alarm alarm = self._alarm
        self.fileno()
        wait = -1 if timeout is None else _milliseconds(timeout)
        if self._leave:
            wait = 0
        self._leave = False
        stays = wait != 0 and self.served > 0 and not self.debug and self._ready is not None
        if wait > 0:
            end = monotonic() + timeout
        if stays:
            scheduled = getattr(self._loop, "_scheduled", None)
            if type(scheduled) is not list:
                stays = False
            else:
                timers = scheduled
                known = len(timers)
                first = timers[0] if known else None
        while True:
            count = self._wait(events, -1 if stays and alarm.covers(end) else wait)
            if count == 0:
                return []
            if count > 0:
                more = self._serve_all(events, count)
                if more:
                    return self._collect(events, count)
                if not stays:
                    return []
            if self._leave or self._epoll < 0 or (self._ready is not None and len(self._ready)):
                return []
            if stays and (len(timers) > known + TIMERS or (len(timers) and timers[0] is not first)):
                return []
            PyErr_CheckSignals()
            if wait > 0 and not (stays and alarm.covers(end)):
                wait = _milliseconds(end - monotonic())
                if wait == 0:
                    return []
                if stays and wait > SOON and self.spin == 0:
                    alarm.set(self._epoll, end)

    cdef int renew(self) noexcept:
        Registrations.renew(self)
        self._alarm.watch(self._epoll)
        return 0

    cdef int _wait(self, epoll_event* events, int milliseconds) except? -1:
        """Returns the number of events; -1 if the wait was interrupted, after the handlers of signals have run."""
        cdef int count, number = 0, epoll = self._epoll
        if milliseconds == 0:
            count = epoll_wait(epoll, events, MOST, 0)
            number = errno
        else:
            count = self._poll(events, &milliseconds) if self.spin > 0 and self._ready is not None else 0
            if count == 0:
                if milliseconds == 0 or self._leave or self._epoll < 0:
                    return 0
                with nogil:
                    count = epoll_wait(epoll, events, MOST, milliseconds)
                    number = errno
        if count < 0:
            if number != EINTR:
                raise OSError(number, "epoll_wait failed")
            PyErr_CheckSignals()
            return -1
        self._fresh = self._fresh or count > 0
        return count

    cdef int _poll(self, epoll_event* events, int* milliseconds) except -1:
        """Polls until there are events, whose number it returns, or it is time to sleep for the `milliseconds` that are
        left. Other threads of Python run meanwhile, and handlers of signals in between."""
        cdef double begun = monotonic(), now = begun, end = begun + milliseconds[0] * 1e-3, until, stop
        cdef int count = 0, epoll = self._epoll
        if self._fresh:
            self._until = begun + self.spin
            self._fresh = False
        until = self._until
        if milliseconds[0] > 0 and end < until:
            until = end
        while count == 0 and now < until and not self._leave and self._epoll >= 0:
            stop = now + PORTION if now + PORTION < until else until
            with nogil:
                while count == 0 and now < stop:
                    count = epoll_wait(epoll, events, MOST, 0)
                    now = monotonic()
            if count == 0:
                PyErr_CheckSignals()
                if len(self._ready):
                    self._leave = True
        self.spun += now - begun
        if milliseconds[0] > 0:
            milliseconds[0] = _milliseconds(end - now)
        return count if count > 0 else 0  # an error is raised by the call that sleeps

    cdef bint _serve_all(self, epoll_event* events, int count) except -1:
        """Serves the sockets that have events. Returns True if `_collect` is to be asked for others."""
        cdef Registration registration
        cdef bint others = False, debug = self.debug, served = False, unknown = False
        cdef int index
        for index in range(count):
            registration = self.of(events[index].data.u64)
            if events[index].data.u64 == <uint64_t> ALARM:
                self._alarm.rang()
            elif registration is None:
                unknown = unknown or not served  # else a callback may have ended it
            elif debug or registration.key is not None:
                others = True
            else:
                served = True
                self._serve(registration, events[index].events)
                events[index].events = 0
        if unknown and self._epoll >= 0:
            self.renew()
        return others

    cdef int _serve(self, Registration registration, uint32_t events) except -1:
        cdef uint32_t reads = _reads(registration, events), writes = _writes(registration, events)
        cdef bint served = False
        if events & EPOLLERR and registration.watcher is not None:
            self._call(registration.watcher)
            served = True
        if writes and registration.writer is not None:
            self._call(registration.writer)
            served = True
        if reads and registration.reader is not None:
            self._call(registration.reader)
            served = True
        if not served and events & (EPOLLERR | EPOLLHUP):
            self.park(registration)  # epoll would report it again and again, and nobody wants to know
        return 0

    cdef int _call(self, Callback callback) except -1:
        cdef object function = callback.function, context = callback.context
        cdef PyObject* result
        if enter(context) < 0:
            self._failed(function, context, False)
            return 0
        result = call(<PyObject*> function)
        if result is NULL:
            self._failed(function, context, True)
            return 0
        PyContext_Exit(context)
        Py_DECREF(<object> result)
        return 0

    cdef int _failed(self, function, context, bint entered) except -1:
        """Handles the exception that is set, as a handle of the loop's does."""
        try:
            try:
                raise_set()
            finally:
                if entered:
                    PyContext_Exit(context)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            twice(self._report, function, context, error)
        return 0

    def _report(self, function, context, error):
        loop = self._loop
        if loop is None:
            raise error
        handle = Handle(function, (), loop, context)
        message = f"Exception in callback {handle!r}"
        loop.call_exception_handler({"message": message, "exception": error, "handle": handle})

    cdef list _collect(self, epoll_event* events, int count):
        """Returns the keys that are ready. In debug mode those of sockets that are served have a handle for each
        callback."""
        cdef Registration registration
        cdef list ready = []
        cdef uint32_t mask
        cdef int index
        for index in range(count):
            registration = self.of(events[index].data.u64)
            mask = events[index].events
            if registration is None or mask == 0:
                continue
            if registration.key is None:
                self._hand_over(registration, mask, ready)
                continue
            key = registration.key
            found = (_WRITE if mask & ~<uint32_t> EPOLLIN else 0) | (_READ if mask & ~<uint32_t> EPOLLOUT else 0)
            ready.append((key, found & key.events))
        return ready

    cdef int _hand_over(self, Registration registration, uint32_t events, list ready) except -1:
        cdef uint32_t reads = _reads(registration, events), writes = _writes(registration, events)
        cdef Py_ssize_t before = len(ready)
        cdef int fd = registration.fd
        if events & EPOLLERR and registration.watcher is not None:
            ready.append(self._handed(fd, registration.watcher))
        if writes and registration.writer is not None:
            ready.append(self._handed(fd, registration.writer))
        if reads and registration.reader is not None:
            ready.append(self._handed(fd, registration.reader))
        if len(ready) == before and events & (EPOLLERR | EPOLLHUP):
            self.park(registration)
        return 0

    cdef tuple _handed(self, int fd, Callback callback):
        handle = Handle(callback.function, (), self._loop, callback.context)
        callback.withdraw()
        callback.handle = handle
        return SelectorKey(fd, fd, _READ, (handle, None)), _READ


ABCMeta.register(BaseSelector, Selector)


cdef inline uint32_t _reads(Registration registration, uint32_t events) noexcept:
    """Returns the events that a reader is called for: as in `selectors`, an error, unless that has its own callback."""
    return events & (EPOLLIN | EPOLLHUP) if registration.watcher is not None else events & ~<uint32_t> EPOLLOUT


cdef inline uint32_t _writes(Registration registration, uint32_t events) noexcept:
    """Returns the events that a writer is called for."""
    return events & (EPOLLOUT | EPOLLHUP) if registration.watcher is not None else events & ~<uint32_t> EPOLLIN


cdef int _milliseconds(double seconds) except? -1:
    """Returns the least number of milliseconds that are not shorter: timers must not be early."""
    cdef double exact = seconds * 1e3
    cdef int whole
    if not exact > 0:
        return 0
    if exact >= LONGEST:
        return LONGEST
    whole = <int> exact
    return whole + (whole < exact)
