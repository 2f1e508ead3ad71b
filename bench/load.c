/* The load generator. Prints one line of JSON.
 *
 *   load flood PORT SECONDS SIZE               sends as fast as it can, 64 datagrams to a system call
 *   load echo PORT SECONDS SIZE OUTSTANDING    keeps so many requests under way, and checks each answer
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum { BATCH = 64, MOST_OUTSTANDING = 1024, MOST_SIZE = 2048, MOST_TIMES = 4 << 20, PATIENCE_US = 200000 };

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static char packets[MOST_OUTSTANDING][MOST_SIZE];
static char answers[BATCH][MOST_SIZE];
static uint32_t number[MOST_OUTSTANDING]; /* of the request that each slot waits for; 0: none */
static uint64_t sent_at[MOST_OUTSTANDING];
static uint32_t times[MOST_TIMES];

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_socket(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 0, .tv_usec = PATIENCE_US};
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof to) ||
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)) {
        perror("load: socket");
        exit(1);
    }
    return sock;
}

/* Each packet of a batch may be 64 datagrams, which the kernel cuts apart (UDP_SEGMENT): where it can, the sender is
 * always faster than the server, which so never waits. */
static void flood(int sock, uint64_t end, size_t size) {
    static char segments[BATCH * MOST_SIZE];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    uint64_t sent = 0;
    int segment = (int)size;
    size_t each = 1;
    if (!setsockopt(sock, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment))
        each = size * BATCH < 65000 ? BATCH : 65000 / size;
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){segments, size * each};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (now() < end) {
        int count = sendmmsg(sock, messages, each > 1 ? 1 : BATCH, 0);
        if (count > 0)
            sent += (uint64_t)count * each;
    }
    printf("{\"sent\": %llu}\n", (unsigned long long)sent);
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(size_t count, double share) {
    return count ? times[(size_t)(share * (double)(count - 1))] / 1000.0 : 0.0;
}

/* A request is its slot, its number, and then bytes that follow from the number. */
static void fill(char *packet, size_t size, uint32_t slot, uint32_t n) {
    memset(packet, (int)(n & 0xff), size);
    memcpy(packet, &slot, 4);
    memcpy(packet + 4, &n, 4);
}

static void echo(int sock, uint64_t end, size_t size, uint32_t outstanding) {
    static char expected[MOST_SIZE];
    struct iovec out_parts[BATCH], in_parts[BATCH];
    struct mmsghdr out[BATCH], in[BATCH];
    uint64_t sent = 0, answered = 0, wrong = 0, late = 0;
    uint32_t waiting = 0, next = 1;
    size_t timed = 0;
    memset(out, 0, sizeof out);
    memset(in, 0, sizeof in);
    for (int i = 0; i < BATCH; i++) {
        in_parts[i] = (struct iovec){answers[i], MOST_SIZE};
        out[i].msg_hdr.msg_iov = &out_parts[i];
        in[i].msg_hdr.msg_iov = &in_parts[i];
        out[i].msg_hdr.msg_iovlen = in[i].msg_hdr.msg_iovlen = 1;
    }
    for (;;) {
        uint64_t begin = now();
        for (uint32_t slot = 0; begin < end && slot < outstanding;) {
            unsigned count = 0;
            for (; slot < outstanding && count < BATCH; slot++) {
                if (number[slot])
                    continue;
                fill(packets[slot], size, slot, next);
                number[slot] = next++;
                sent_at[slot] = begin;
                out_parts[count++] = (struct iovec){packets[slot], size};
            }
            for (unsigned done = 0; done < count;) {
                int gone = sendmmsg(sock, out + done, count - done, 0);
                done += gone > 0 ? (unsigned)gone : 1; /* one that was not sent is given up like one that was lost */
            }
            sent += count;
            waiting += count;
        }
        if (!waiting)
            break;
        int count = recvmmsg(sock, in, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
            perror("load: recvmmsg");
            exit(1);
        }
        if (count < 0 && errno == EAGAIN) { /* the answers that are missing are lost */
            memset(number, 0, sizeof number);
            waiting = 0;
        }
        uint64_t came = now();
        for (int i = 0; i < count; i++) {
            uint32_t slot, n;
            memcpy(&slot, answers[i], 4);
            memcpy(&n, answers[i] + 4, 4);
            fill(expected, size, slot, n);
            if (in[i].msg_len != size || slot >= outstanding || memcmp(answers[i], expected, size)) {
                wrong++;
            } else if (number[slot] != n) {
                late++;
            } else {
                number[slot] = 0;
                waiting--;
                answered++;
                if (timed < MOST_TIMES)
                    times[timed++] = (uint32_t)(came - sent_at[slot]);
            }
        }
    }
    qsort(times, timed, sizeof times[0], ascending);
    printf("{\"sent\": %llu, \"answered\": %llu, \"wrong\": %llu, \"late\": %llu, \"p50\": %.2f, \"p99\": %.2f}\n",
           (unsigned long long)sent, (unsigned long long)answered, (unsigned long long)wrong,
           (unsigned long long)late, percentile(timed, 0.50), percentile(timed, 0.99));
}

int main(int argc, char **argv) {
    if (argc < 5 || (strcmp(argv[1], "flood") && argc < 6)) {
        fprintf(stderr, "usage: load flood|echo PORT SECONDS SIZE [OUTSTANDING]\n");
        return 2;
    }
    uint64_t end = now() + (uint64_t)(atof(argv[3]) * 1e9);
    size_t size = (size_t)atoi(argv[4]);
    int sock = open_socket(atoi(argv[2]));
    if (size < 8 || size > MOST_SIZE) {
        fprintf(stderr, "load: SIZE must be 8 to %d\n", MOST_SIZE);
        return 2;
    }
    if (!strcmp(argv[1], "flood")) {
        flood(sock, end, size);
        return 0;
    }
    uint32_t outstanding = (uint32_t)atoi(argv[5]);
    if (outstanding < 1 || outstanding > MOST_OUTSTANDING) {
        fprintf(stderr, "load: OUTSTANDING must be 1 to %d\n", MOST_OUTSTANDING);
        return 2;
    }
    echo(sock, end, size, outstanding);
    return 0;
}
