"""The descriptors that a selector watches: for each either a key of the loop's, as in `selectors`, or the callbacks of
a socket that the selector serves itself.

Each event of epoll carries the descriptor and the generation of its registration, which is new whenever epoll gets the
descriptor: so an event that was fetched before a descriptor was closed, and its number reused, is known for what it is.
"""

import os
from collections.abc import Mapping
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey

cimport cython
from libc.errno cimport ENOENT, errno
from libc.stdint cimport uint32_t, uint64_t

from ...gen.foreign import safe_repr
from .epoll cimport (
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLIN,
    EPOLLOUT,
    O_CLOEXEC,
    PyContext_CopyCurrent,
    close,
    dup3,
    epoll_create1,
    epoll_ctl,
    epoll_event,
)

cdef enum:
    READER = 0
    WRITER = 1
    WATCHER = 2
    LARGEST = 0x7fffffff


@cython.freelist(16)
cdef class Callback:
    """A function of no arguments, and the context in which it is called: the one in which it was set.

    handle: the `asyncio.Handle` by which the loop is about to call it, in its debug mode.
    """

    def __cinit__(self, function):
        self.function = function
        self.context = PyContext_CopyCurrent()

    cdef int withdraw(self) except -1:
        """Cancels the call that the loop is about to make."""
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.cancel()
        return 0


cdef class Registration:
    """The registration of `fd`: `key`, or callbacks. `watcher` is called while the socket has an error.

    events: those that epoll was asked for. known: epoll has the descriptor.
    """

    cdef uint32_t wanted(self) noexcept:
        """Returns the events for which there are callbacks."""
        return (EPOLLIN if self.reader is not None else 0) | (EPOLLOUT if self.writer is not None else 0)

    cdef int forget(self) except -1:
        """Drops what was registered."""
        cdef Callback reader = self.reader, writer = self.writer, watcher = self.watcher
        self.key = self.reader = self.writer = self.watcher = None
        if reader is not None:
            reader.withdraw()
        if writer is not None:
            writer.withdraw()
        if watcher is not None:
            watcher.withdraw()
        return 0


cdef class Registrations:
    """The epoll of a selector and the registrations in it. The first half is as in `selectors.EpollSelector`.

    served: the sockets that epoll watches for the selector itself.
    """

    def __cinit__(self):
        self._epoll = -1
        self._by_fd = []

    def __init__(self):
        cdef int epoll
        if self._epoll >= 0:
            raise TypeError("a selector is initialized once")
        epoll = epoll_create1(EPOLL_CLOEXEC)
        if epoll < 0:
            raise _error(errno)
        self._epoll = epoll

    def __dealloc__(self):
        if self._epoll >= 0:
            close(self._epoll)

    def fileno(self):
        """Returns the descriptor of the epoll. Raises `ValueError` once closed."""
        if self._epoll < 0:
            raise ValueError("I/O operation on closed selector")
        return self._epoll

    def close(self):
        """Ends all registrations. A second call does nothing."""
        cdef int epoll = self._epoll
        cdef list registrations = self._by_fd
        cdef Registration registration
        self._epoll = -1
        self._by_fd = []
        self.served = 0
        if epoll >= 0:
            close(epoll)
        for registration in registrations:
            if registration is not None:
                registration.known = False
                registration.forget()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- keys of the loop's -------------------------------------------------------------------------------

    def register(self, fileobj, events, data=None):
        cdef Registration registration = Registration.__new__(Registration), other
        cdef uint32_t mask = _mask(events)
        cdef int fd = self._fd_of(fileobj)
        registration.fd = fd
        registration.key = key = SelectorKey(fileobj, fd, events, data)
        other = self._at(fd)
        if other is not None and other.key is not None:
            raise KeyError(f"{safe_repr(fileobj)} (FD {fd}) is already registered")
        self._add(registration, mask)
        return key

    def unregister(self, fileobj):
        cdef Registration registration = self._registered(fileobj)
        key = registration.key
        self._drop(registration)
        return key

    def modify(self, fileobj, events, data=None):
        cdef Registration registration = self._registered(fileobj)
        key = registration.key
        key = SelectorKey(key.fileobj, registration.fd, events, data)
        if events != registration.key.events and not self._change(registration, _mask(events)):
            number = errno
            self._drop(registration)
            raise _error(number)
        registration.key = key
        return key

    def get_key(self, fileobj):
        if self._epoll < 0:
            raise RuntimeError("Selector is closed")
        return self._registered(fileobj).key

    def get_map(self):
        return None if self._epoll < 0 else _Keys(self)

    def descriptors(self):
        """Returns the descriptors that have keys."""
        cdef list found = []
        cdef Registration registration
        for registration in self._by_fd:
            if registration is not None and registration.key is not None:
                found.append(registration.fd)
        return found

    cdef Registration _registered(self, fileobj):
        cdef Registration registration = self._at(self._fd_of(fileobj))
        if registration is None or registration.key is None:
            raise KeyError(f"{safe_repr(fileobj)} is not registered")
        return registration

    cdef int _fd_of(self, fileobj) except -1:
        """Returns the descriptor of `fileobj`; for one that was closed since it was registered, the one it had."""
        cdef Registration registration
        try:
            fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            fd = -1
        if 0 <= fd <= LARGEST:
            return fd
        for registration in self._by_fd:
            if registration is not None and registration.key is not None and registration.key.fileobj is fileobj:
                return registration.fd
        raise ValueError(f"Invalid file object or descriptor: {safe_repr(fileobj)}")

    cdef int _drop(self, Registration registration) except -1:
        """Ends the registration of a key."""
        registration.known = False
        registration.key = None
        self._by_fd[registration.fd] = None
        _control(self._epoll, EPOLL_CTL_DEL, registration)  # which fails if the file was closed
        return 0

    # --- sockets that the selector serves itself ----------------------------------------------------------

    def on_readable(self, int fd, callback):
        """Calls `callback` from within `select` whenever `fd` can be read; None stops it.

        Raises `OSError` if `fd` is not open, cannot be watched, or has a reader or writer of the loop's;
        `RuntimeError` once closed.
        """
        self._set(fd, READER, callback)

    def on_writable(self, int fd, callback):
        """Calls `callback` whenever `fd` can be written, as `on_readable` does."""
        self._set(fd, WRITER, callback)

    def on_error(self, int fd, callback):
        """Calls `callback` while `fd` has an error, before the others, and also if there are none. A second one
        replaces it."""
        self._set(fd, WATCHER, callback)

    def off_error(self, int fd, callback):
        """Stops calling `callback`, unless another one has replaced it."""
        cdef Registration registration = self._at(fd)
        if registration is not None and registration.watcher is not None and registration.watcher.function is callback:
            self._set(fd, WATCHER, None)

    cdef int _set(self, int fd, int role, function) except -1:
        cdef Registration registration, made
        cdef Callback callback = None
        if function is not None:
            callback = Callback.__new__(Callback, function)  # which may run finalizers: before anything is looked at
        registration = self._at(fd)
        if registration is not None and registration.key is not None:
            registration = None
        if callback is None:
            if registration is not None:
                self._unset(registration, role)
            return 0
        if self._epoll < 0:
            raise RuntimeError("the event loop is closed")
        if fd < 0:
            raise ValueError(f"Invalid file descriptor: {fd}")
        if registration is None:
            made = Registration.__new__(Registration)  # which may run finalizers as well
            registration = self._at(fd)
            if registration is None or registration.key is not None:
                registration = made
                registration.fd = fd
        if registration.known and not self._change(registration, registration.wanted() | EVENTS[role]):
            if errno != ENOENT:
                raise _error(errno)
            self.park(registration)
            registration.forget()  # those were of a socket that was closed since
        if not registration.known:
            self._add(registration, registration.wanted() | EVENTS[role])
        _assign(registration, role, callback)
        return 0

    cdef int _unset(self, Registration registration, int role) except -1:
        _assign(registration, role, None)
        if registration.wanted() == 0 and registration.watcher is None:
            self.park(registration)
        elif registration.known and not self._change(registration, registration.wanted()):
            self.park(registration)  # the socket was closed
            registration.forget()
        return 0

    cdef int park(self, Registration registration) except -1:
        """Takes a served socket out of epoll until a callback of it is set."""
        if registration.known:
            registration.known = False
            self.served -= 1
            _control(self._epoll, EPOLL_CTL_DEL, registration)  # which fails if the socket was closed
        return 0

    # --- epoll --------------------------------------------------------------------------------------------

    cdef Registration of(self, uint64_t tag):
        """Returns the registration of an event; None if it is over."""
        cdef Registration registration = self._at(<uint32_t> tag)
        if registration is not None and registration.known and registration.generation == tag >> 32:
            return registration
        return None

    cdef int renew(self) noexcept:
        """Replaces the epoll by one that has only what is registered.

        If a descriptor is closed while it is registered, but its file has another descriptor, here or in a child, the
        old epoll reports the file again and again, and it cannot be removed from there.
        """
        cdef int epoll = epoll_create1(EPOLL_CLOEXEC)
        cdef Registration registration
        if epoll < 0:
            return 0  # the next report of the file tries again
        for registration in self._by_fd:
            if registration is not None and registration.known and _control(epoll, EPOLL_CTL_ADD, registration) < 0:
                registration.known = False
                self.served -= registration.key is None
        dup3(epoll, self._epoll, O_CLOEXEC)
        close(epoll)
        return 0

    cdef Registration _at(self, long long fd):
        cdef list by_fd = self._by_fd
        cdef Registration registration = None
        if 0 <= fd < len(by_fd):
            registration = by_fd[fd]
        return registration

    cdef bint _change(self, Registration registration, uint32_t events) noexcept:
        """Has epoll watch for these events from now on. False: it has the descriptor no more, as `errno` says: which is why
        it is asked also if the events are the same."""
        cdef uint32_t before = registration.events
        registration.events = events
        if _control(self._epoll, EPOLL_CTL_MOD, registration) < 0:
            registration.events = before
            return False
        return True

    cdef int _add(self, Registration registration, uint32_t events) except -1:
        """Has epoll watch a descriptor. If that can be added, the file of an earlier registration of the same number was
        closed: this registration is over. Raises `OSError`."""
        cdef Registration other
        cdef int fd = registration.fd
        if fd >= len(self._by_fd):
            self._by_fd += [None] * (fd + 1 - len(self._by_fd))
        self._generation += 1
        registration.generation = self._generation
        registration.events = events
        if _control(self._epoll, EPOLL_CTL_ADD, registration) < 0:
            raise _error(errno)
        registration.known = True
        if registration.key is None:
            self.served += 1
        other = self._by_fd[fd]
        self._by_fd[fd] = registration
        if other is not None and other is not registration:
            if other.known and other.key is None:
                self.served -= 1
            other.known = False
            other.forget()
        return 0


cdef int _control(int epoll, int operation, Registration registration) noexcept:
    """Calls epoll_ctl(2)."""
    cdef epoll_event event
    event.events = registration.events
    event.data.u64 = (<uint64_t> registration.generation << 32) | <uint32_t> registration.fd
    return epoll_ctl(epoll, operation, registration.fd, &event)


cdef uint32_t[3] EVENTS = [EPOLLIN, EPOLLOUT, 0]


cdef int _assign(Registration registration, int role, Callback callback) except -1:
    cdef Callback before
    if role == READER:
        before, registration.reader = registration.reader, callback
    elif role == WRITER:
        before, registration.writer = registration.writer, callback
    else:
        before, registration.watcher = registration.watcher, callback
    if before is not None:
        before.withdraw()
    return 0


cdef uint32_t _mask(events) except 0:
    """Returns the events of epoll for those of a key. Raises `ValueError`."""
    if not events or events & ~(EVENT_READ | EVENT_WRITE):
        raise ValueError(f"Invalid events: {safe_repr(events)}")
    return (EPOLLIN if events & EVENT_READ else 0) | (EPOLLOUT if events & EVENT_WRITE else 0)


cdef _error(int number):
    return OSError(number, os.strerror(number))


class _Keys(Mapping):
    """The keys of a selector by file object or descriptor."""

    def __init__(self, selector):
        self._selector = selector

    def __len__(self):
        return len(self._selector.descriptors())

    def __getitem__(self, fileobj):
        try:
            return self._selector.get_key(fileobj)
        except (RuntimeError, ValueError):
            raise KeyError(f"{safe_repr(fileobj)} is not registered") from None

    def __iter__(self):
        return iter(self._selector.descriptors())
