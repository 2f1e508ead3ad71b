"""A timer that the kernel keeps from one wait to the next: timerfd_create(2).

A wait with a timeout sets up a timer and removes it again, which costs up to 1 us, a tenth of the echo of a datagram that comes alone. A program
that has timers of its own would pay that each time, for the same moment.
"""

from libc.stdint cimport uint64_t

from .epoll cimport (
    CLOCK_MONOTONIC,
    EPOLL_CTL_ADD,
    EPOLLIN,
    TFD_CLOEXEC,
    TFD_NONBLOCK,
    TFD_TIMER_ABSTIME,
    close,
    epoll_ctl,
    epoll_event,
    itimerspec,
    read,
    timerfd_create,
    timerfd_settime,
)

cdef double EARLY = 1e-3
"""Seconds that it may ring before the moment: the rest is waited for as usual."""

cdef double LATE = 1e-4
"""Seconds that it may ring after the moment. Timeouts are whole milliseconds, so they may be later."""


cdef class Alarm:
    """At most one moment, at which the epoll reports an event with the tag `ALARM`.

    Where the system has none to give (no descriptor is left), all its methods return False, and waits have timeouts.
    """

    def __cinit__(self):
        self._fd = -1

    def __dealloc__(self):
        self.close()

    cdef bint covers(self, double end) noexcept:
        """Returns True if it will ring at `end`, in seconds of the monotonic clock."""
        return self._due > 0 and end - EARLY <= self._due <= end + LATE

    cdef bint set(self, int epoll, double end) noexcept:
        """Lets it ring at `end`, and at no other moment. Returns False if it cannot."""
        cdef itimerspec when
        if self._fd < 0:
            if self._refused:
                return False
            self._fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
            if self._fd < 0 or self.watch(epoll) < 0:
                self.close()
                self._refused = True
                return False
        when.it_interval.tv_sec = when.it_interval.tv_nsec = 0
        when.it_value.tv_sec = <long> end
        when.it_value.tv_nsec = <long> ((end - <long> end) * 1e9)
        self._due = end if timerfd_settime(self._fd, TFD_TIMER_ABSTIME, &when, NULL) == 0 else 0.0
        return self._due > 0

    cdef int watch(self, int epoll) noexcept:
        """Adds it to an epoll, if it was ever set. Returns -1 if that fails."""
        cdef epoll_event event
        if self._fd < 0:
            return 0
        event.events = EPOLLIN
        event.data.u64 = <uint64_t> ALARM
        return epoll_ctl(epoll, EPOLL_CTL_ADD, self._fd, &event)

    cdef int rang(self) noexcept:
        """Ends the event."""
        cdef uint64_t times
        self._due = 0.0
        read(self._fd, &times, sizeof(times))
        return 0

    cdef int close(self) noexcept:
        self._due = 0.0
        if self._fd >= 0:
            close(self._fd)
            self._fd = -1
        return 0
