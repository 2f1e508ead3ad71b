/* Packets that nobody answers: a flood, as fast as it can; paced; and backlogs. Losses are ignored. Packets carry their
 * number, big-endian, at byte 4. */
#include "load.h"

#include <signal.h>

enum { CONTROL = CMSG_SPACE(sizeof(struct in_pktinfo)), MOST_BYTES = 65000 };

static char packets[BATCH * MOST_SIZE];
static char controls[BATCH][CONTROL] __attribute__((aligned(8)));

static void set_number(char *packet, uint32_t number) {
    uint32_t field = htonl(number);
    memcpy(packet + 4, &field, sizeof field);
}

/* Lets a message leave from 127.1.x.y. */
static void set_source(struct msghdr *message, unsigned source) {
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    struct in_pktinfo info = {0};
    info.ipi_spec_dst.s_addr = htonl((127u << 24) | (1u << 16) | ((source / 250) << 8) | (source % 250 + 1));
    memcpy(CMSG_DATA(control), &info, sizeof info);
}

void flood(int port, uint64_t end, size_t size, int segmented, unsigned sources) {
    struct sockaddr_in to = on_loopback(port);
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || (!sources && connect(sock, (struct sockaddr *)&to, sizeof to)))
        die("load: socket");

    /* The same sources in each run: a server that keeps something for each would otherwise meet new ones. */
    if (sources) {
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(port ^ 1))};
        bind(sock, (struct sockaddr *)&from, sizeof from); /* if it fails, the system chooses a port */
    }

    /* A message may hold many datagrams, which the kernel splits: then the sender is always faster than a server that
     * takes them one by one, so that the server never waits. */
    int segment = (int)size;
    size_t each = 1;
    if (segmented && !setsockopt(sock, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment))
        each = size * BATCH <= MOST_BYTES ? BATCH : MOST_BYTES / size;
    unsigned count = each > 1 ? 1 : BATCH;

    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        parts[i] = (struct iovec){packets + i * size, size * each};
        message->msg_iov = &parts[i];
        message->msg_iovlen = 1;
        if (sources) {
            message->msg_name = &to;
            message->msg_namelen = sizeof to;
            message->msg_control = controls[i];
            message->msg_controllen = CONTROL;
            struct cmsghdr *control = CMSG_FIRSTHDR(message);
            control->cmsg_level = IPPROTO_IP;
            control->cmsg_type = IP_PKTINFO;
            control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
        }
    }

    uint64_t sent = 0;
    unsigned source = 0;
    while (now() < end) {
        for (size_t i = 0; i < count * each; i++)
            set_number(packets + i * size, (uint32_t)(sent + i));
        for (unsigned i = 0; sources && i < count; i++, source = (source + 1) % sources)
            set_source(&messages[i].msg_hdr, source);
        int gone = sendmmsg(sock, messages, count, 0);
        if (gone > 0)
            sent += (uint64_t)gone * each;
    }
    printf("{\"sent\": %llu, \"segments\": %zu}\n", (unsigned long long)sent, each);
}

static int connected(int port) {
    struct sockaddr_in to = on_loopback(port);
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof to))
        die("load: socket");
    return sock;
}

/* Polls the clock, since it would wake up too late. */
void paced(int port, uint64_t begin, uint64_t end, size_t size, uint32_t rate) {
    int sock = connected(port);
    uint64_t count = (end - begin) * rate / 1000000000u, behind = 0, sent = 0;
    begin = now();
    for (uint64_t n = 0; n < count; n++) {
        uint64_t due = begin + n * 1000000000u / rate, time;
        set_number(packets, (uint32_t)n);
        while ((time = now()) < due)
            ;
        behind += time - due > LATE;
        sent += send(sock, packets, size, 0) > 0;
    }
    printf("{\"sent\": %llu, \"behind\": %.6f}\n", (unsigned long long)sent, count ? (double)behind / (double)count : 0.0);
}

/* A stopped process does not read, not even if a packet wakes it: its signal comes first. */
void backlog(int port, uint64_t end, size_t size, uint32_t count, pid_t pid) {
    static const struct timespec drain = {.tv_sec = 0, .tv_nsec = 20000000}; /* enough for 500 packets of 30 us each */
    int sock = connected(port);
    uint64_t sent = 0;
    do {
        if (kill(pid, SIGSTOP))
            die("load: stop");
        for (uint32_t n = 0; n < count; n++) {
            set_number(packets, (uint32_t)sent);
            sent += send(sock, packets, size, 0) > 0;
        }
        kill(pid, SIGCONT);
        nanosleep(&drain, NULL);
    } while (now() < end);
    printf("{\"sent\": %llu}\n", (unsigned long long)sent);
}
