/* Requests and their answers, in a closed loop or an open one. Every answer is compared with its request. */
#include "load.h"

#include <sched.h>

enum { MOST_OUTSTANDING = 1024, MOST_TIMES = 4 << 20 };

static const uint64_t PATIENCE = 200000000; /* nanoseconds without an answer, after which missing answers are lost */

static char requests[MOST_OUTSTANDING][MOST_SIZE];
static char answers[BATCH][MOST_SIZE];
static uint32_t number[MOST_OUTSTANDING]; /* closed loop: number of the request that each slot waits for; 0: none */
static uint64_t sent_at[MOST_OUTSTANDING];
static uint8_t came_back[MOST_TIMES]; /* open loop, by number */
static uint32_t times[MOST_TIMES];    /* round trips in nanoseconds */
static size_t timed;
static uint64_t sent, answered, wrong, late;

static struct iovec out_parts[BATCH], in_parts[BATCH];
static struct mmsghdr out[BATCH], in[BATCH];

static int open_socket(int port) {
    struct sockaddr_in to = on_loopback(port);
    struct timeval patience = {.tv_sec = 0, .tv_usec = (suseconds_t)(PATIENCE / 1000)};
    int room = 4 << 20, sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof to) ||
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
        die("load: socket");
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &room, sizeof room); /* the system may grant less */
    for (int i = 0; i < BATCH; i++) {
        in_parts[i] = (struct iovec){answers[i], MOST_SIZE};
        out[i].msg_hdr.msg_iov = &out_parts[i];
        in[i].msg_hdr.msg_iov = &in_parts[i];
        out[i].msg_hdr.msg_iovlen = in[i].msg_hdr.msg_iovlen = 1;
    }
    return sock;
}

/* A request is its slot, its number, and then bytes that follow from the number. */
static void fill(char *packet, size_t size, uint32_t slot, uint32_t n) {
    memset(packet, (int)(n & 0xff), size);
    memcpy(packet, &slot, 4);
    memcpy(packet + 4, &n, 4);
}

static void send_all(int sock, unsigned count) {
    for (unsigned done = 0; done < count;) {
        int gone = sendmmsg(sock, out + done, count - done, 0);
        done += gone > 0 ? (unsigned)gone : 1; /* a request that was not sent counts as lost */
    }
    sent += count;
}

/* Returns the number of answers, or -1 if none came. */
static int receive(int sock, int flags) {
    int count = recvmmsg(sock, in, BATCH, flags, NULL);
    if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
        die("load: recvmmsg");
    return count;
}

/* Returns true if answer `i` answers a request that was made; then *slot and *n are the request's. */
static int is_right(int i, size_t size, uint32_t *slot, uint32_t *n) {
    static char expected[MOST_SIZE];
    memcpy(slot, answers[i], 4);
    memcpy(n, answers[i] + 4, 4);
    fill(expected, size, *slot, *n);
    return in[i].msg_len == size && !memcmp(answers[i], expected, size);
}

static void note(uint64_t nanoseconds) {
    answered++;
    if (timed < MOST_TIMES)
        times[timed++] = nanoseconds < UINT32_MAX ? (uint32_t)nanoseconds : UINT32_MAX;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    return timed ? times[(size_t)(share * (double)(timed - 1))] / 1000.0 : 0.0;
}

static void print(uint64_t behind) {
    qsort(times, timed, sizeof times[0], ascending);
    printf("{\"sent\": %llu, \"answered\": %llu, \"wrong\": %llu, \"late\": %llu, \"behind\": %.6f, "
           "\"p50\": %.2f, \"p99\": %.2f, \"p99.9\": %.2f}\n",
           (unsigned long long)sent, (unsigned long long)answered, (unsigned long long)wrong, (unsigned long long)late,
           sent ? (double)behind / (double)sent : 0.0, percentile(0.50), percentile(0.99), percentile(0.999));
}

/* Waits for answers: asleep, or polling all the time, which keeps the client's waking up out of the measurement.
 * Returns their number, or -1 and EAGAIN if none came for too long. */
static int wait_for_answers(int sock, int asleep) {
    int count = receive(sock, asleep ? MSG_WAITFORONE : MSG_DONTWAIT);
    for (uint64_t begin = now(); !asleep && count < 0 && errno == EAGAIN && now() - begin < PATIENCE;) {
        sched_yield();
        count = receive(sock, MSG_DONTWAIT);
    }
    return count;
}

/* Keeps `outstanding` requests open. */
void closed_loop(int port, uint64_t end, size_t size, uint32_t outstanding) {
    int sock = open_socket(port);
    uint32_t waiting = 0, next = 1;
    if (outstanding < 1 || outstanding > MOST_OUTSTANDING) {
        fprintf(stderr, "load: OUTSTANDING must be 1 to %d\n", MOST_OUTSTANDING);
        exit(2);
    }
    for (;;) {
        uint64_t begin = now();
        for (uint32_t slot = 0; begin < end && slot < outstanding;) {
            unsigned count = 0;
            for (; slot < outstanding && count < BATCH; slot++) {
                if (number[slot])
                    continue;
                fill(requests[slot], size, slot, next);
                number[slot] = next++;
                sent_at[slot] = begin;
                out_parts[count++] = (struct iovec){requests[slot], size};
            }
            send_all(sock, count);
            waiting += count;
        }
        if (!waiting)
            break;
        int count = wait_for_answers(sock, outstanding > 1);
        if (count < 0 && errno == EAGAIN) { /* the missing answers are lost */
            memset(number, 0, sizeof number);
            waiting = 0;
        }
        uint64_t came = now();
        for (int i = 0; i < count; i++) {
            uint32_t slot, n;
            if (!is_right(i, size, &slot, &n) || slot >= outstanding) {
                wrong++;
            } else if (number[slot] != n) {
                late++;
            } else {
                number[slot] = 0;
                waiting--;
                note(came - sent_at[slot]);
            }
        }
    }
    print(0);
}

/* Request number n leaves n / rate seconds after the beginning, whether or not others were answered; a round trip is
 * counted from the time at which the request was to leave. `behind` counts those that left too late. Never sleeps:
 * waking up would be part of the measurement. */
void open_loop(int port, uint64_t begin, uint64_t end, size_t size, uint32_t rate) {
    int sock = open_socket(port);
    uint64_t count = (end - begin) * rate / 1000000000u, behind = 0, heard;
    if (rate < 1 || count > MOST_TIMES) {
        fprintf(stderr, "load: RATE must be 1 or more, and SECONDS * RATE %d at most\n", MOST_TIMES);
        exit(2);
    }
    heard = begin = now();
    for (uint64_t next = 0;;) {
        uint64_t time = now();
        uint64_t due = (time - begin) * rate / 1000000000u + 1;
        unsigned ready = 0;
        if (due > count)
            due = count;
        for (; next < due && ready < BATCH; next++, ready++) {
            fill(requests[ready], size, 0, (uint32_t)next);
            out_parts[ready] = (struct iovec){requests[ready], size};
            behind += time - (begin + next * 1000000000u / rate) > LATE;
        }
        if (ready) {
            send_all(sock, ready);
            heard = time;
        }
        int got = receive(sock, MSG_DONTWAIT);
        uint64_t came = now();
        for (int i = 0; i < got; i++) {
            uint32_t slot, n;
            if (!is_right(i, size, &slot, &n) || slot || n >= next) {
                wrong++;
            } else if (came_back[n]++) {
                late++; /* a second answer */
            } else {
                note(came - (begin + n * 1000000000ull / rate));
            }
            heard = came;
        }
        if (next == count && (answered == count || came - heard > PATIENCE))
            break;
        if (got <= 0 && !ready)
            sched_yield();
    }
    print(behind);
}
