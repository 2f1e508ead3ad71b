/* Loaded first of all (LD_PRELOAD) into a program that runs under callgrind: marks, between which it counts, and a clock
 * that counts calls. Under valgrind everything takes fifty times as long, differently each time: a scheduler that ends a
 * turn by the clock would do so at other places than without, and at others in each run. Time also passes while the
 * program sleeps: a server that sees that its last datagram is some time ago does not look for a second one. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

enum {
    STEP = 200,    /* nanoseconds that pass at each look at the clock: about a local message */
    SLEEP = 50000, /* nanoseconds that pass at each wait for events: the server is asleep when a lone request comes */
    SIGNALS = 8,   /* bytes of the kernel's set of signals */
};

static uint64_t passed = 1000000000u;

/* The timer of the event loop, and when it rings by this clock. */
static int alarm_fd = -1;
static uint64_t alarm_at;

int clock_gettime(clockid_t clock, struct timespec *result) {
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, result);
    passed += STEP;
    result->tv_sec = (time_t)(passed / 1000000000u);
    result->tv_nsec = (long)(passed % 1000000000u);
    return 0;
}

int epoll_pwait(int epoll, struct epoll_event *events, int most, int milliseconds, const sigset_t *signals) {
    if (milliseconds != 0)
        passed += SLEEP;
    return (int)syscall(SYS_epoll_pwait, epoll, events, most, milliseconds, signals, SIGNALS);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds) {
    return epoll_pwait(epoll, events, most, milliseconds, 0);
}

/* The kernel's clock is another one, so it gets the time that is left. When the timer has rung, that time has passed. */
int timerfd_settime(int fd, int flags, const struct itimerspec *set, struct itimerspec *before) {
    struct itimerspec left = *set;
    if (flags & TFD_TIMER_ABSTIME && (set->it_value.tv_sec || set->it_value.tv_nsec)) {
        uint64_t at = (uint64_t)set->it_value.tv_sec * 1000000000u + (uint64_t)set->it_value.tv_nsec;
        uint64_t wait = at > passed ? at - passed : 1;
        left.it_value.tv_sec = (time_t)(wait / 1000000000u);
        left.it_value.tv_nsec = (long)(wait % 1000000000u);
        alarm_fd = fd;
        alarm_at = at;
    }
    return (int)syscall(SYS_timerfd_settime, fd, flags & ~TFD_TIMER_ABSTIME, &left, before);
}

ssize_t read(int fd, void *data, size_t size) {
    if (fd == alarm_fd && fd >= 0 && passed < alarm_at)
        passed = alarm_at;
    return (ssize_t)syscall(SYS_read, fd, data, size);
}

/* Begins to count. */
void begin(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

/* Writes the counts since the last mark, and begins again. */
void end(void) { CALLGRIND_DUMP_STATS; }

/* Counts no more, which makes the program faster. */
void stop(void) { CALLGRIND_STOP_INSTRUMENTATION; }
