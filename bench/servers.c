/* Servers under test that do nothing with the data: the least cost of a server, in C.
 *
 *   servers count BUFFER      recvmmsg, counts
 *   servers count-gro BUFFER  recvmmsg with UDP_GRO, counts the datagrams that the kernel has joined
 *   servers echo BUFFER       recvmmsg, sendmmsg
 *
 * BUFFER: bytes of the receive buffer to ask for. Prints its port, and its figures for each line that it reads; ends
 * when there are no more lines.
 */
#include "common.h"

#include <sys/epoll.h>

enum { STRETCH = 16, MOST_JOINED = 65536, CONTROL = CMSG_SPACE(sizeof(int)) };

static char *data;
static char controls[BATCH][CONTROL] __attribute__((aligned(8)));
static struct sockaddr_in names[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static uint64_t handled;

static void prepare(size_t room, int joined, int answering) {
    data = malloc(BATCH * room);
    if (!data)
        die("servers: malloc");
    for (int i = 0; i < BATCH; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        parts[i] = (struct iovec){data + (size_t)i * room, room};
        message->msg_iov = &parts[i];
        message->msg_iovlen = 1;
        message->msg_control = joined ? controls[i] : NULL;
        message->msg_name = answering ? &names[i] : NULL;
    }
}

/* Returns the number of datagrams that the kernel has joined in this message. */
static unsigned segments(struct mmsghdr *message) {
    struct cmsghdr *control = CMSG_FIRSTHDR(&message->msg_hdr);
    int size = 0;
    if (control && control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO)
        memcpy(&size, CMSG_DATA(control), sizeof size);
    return size > 0 ? (message->msg_len + (unsigned)size - 1) / (unsigned)size : 1;
}

static void answer(int sock, int count, size_t room) {
    for (int i = 0; i < count; i++)
        parts[i].iov_len = messages[i].msg_len;
    for (int done = 0; done < count;) {
        int gone = sendmmsg(sock, messages + done, (unsigned)(count - done), MSG_DONTWAIT);
        done += gone > 0 ? gone : 1;
    }
    for (int i = 0; i < count; i++)
        parts[i].iov_len = room;
}

/* Takes the packets that are there, up to STRETCH batches; then a request for figures can be served. */
static void serve(int sock, size_t room, int joined, int answering) {
    for (int turn = 0; turn < STRETCH; turn++) {
        for (int i = 0; joined && i < BATCH; i++)
            messages[i].msg_hdr.msg_controllen = CONTROL;
        for (int i = 0; answering && i < BATCH; i++)
            messages[i].msg_hdr.msg_namelen = sizeof names[i];
        int count = recvmmsg(sock, messages, BATCH, MSG_DONTWAIT, NULL);
        if (count <= 0)
            return;
        if (joined)
            for (int i = 0; i < count; i++)
                handled += segments(&messages[i]);
        else
            handled += (uint64_t)count;
        if (answering)
            answer(sock, count, room);
        if (count < BATCH)
            return;
    }
}

static void tell(void) {
    char lines[64];
    ssize_t length = read(STDIN_FILENO, lines, sizeof lines);
    if (length <= 0)
        exit(0);
    for (ssize_t i = 0; i < length; i++)
        if (lines[i] == '\n')
            printf("{\"packets\": %llu, \"cpu_seconds\": %.9f}\n", (unsigned long long)handled,
                   (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc < 3 || (strcmp(argv[1], "count") && strcmp(argv[1], "count-gro") && strcmp(argv[1], "echo"))) {
        fprintf(stderr, "usage: servers count|count-gro|echo BUFFER\n");
        return 2;
    }
    int joined = !strcmp(argv[1], "count-gro"), answering = !strcmp(argv[1], "echo"), on = 1;
    int buffer = atoi(argv[2]), sock = socket(AF_INET, SOCK_DGRAM, 0), poller = epoll_create1(0);
    size_t room = joined ? MOST_JOINED : MOST_SIZE;
    struct sockaddr_in address = on_loopback(0);
    socklen_t length = sizeof address;
    alarm(LIFE);
    if (sock < 0 || poller < 0 || setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) ||
        (joined && setsockopt(sock, SOL_UDP, UDP_GRO, &on, sizeof on)) ||
        bind(sock, (struct sockaddr *)&address, sizeof address) ||
        getsockname(sock, (struct sockaddr *)&address, &length))
        die("servers: socket");
    prepare(room, joined, answering);
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);

    struct epoll_event events[2] = {{.events = EPOLLIN, .data.fd = sock}, {.events = EPOLLIN, .data.fd = STDIN_FILENO}};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, sock, &events[0]) || epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &events[1]))
        die("servers: epoll");
    for (;;) {
        int count = epoll_wait(poller, events, 2, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == sock)
                serve(sock, room, joined, answering);
            else
                tell();
        }
    }
}
