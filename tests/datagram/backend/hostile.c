/* A hostile kernel: recvmmsg(2), recvmsg(2), sendmmsg(2), sendmsg(2) and sendto(2) that lie, drawn from a seed.
 *
 * Preloaded (ld.so(8) LD_PRELOAD). Does nothing until `hostile_seed` is called with a number that is not 0. From then on
 * reads of datagram sockets of the internet make up what they return: lengths, addresses, flags, control messages and
 * errors that a kernel may return, and some that none would. Each payload consists of one and the same byte, which changes
 * with each message: a datagram in which two are found was put together of foreign memory.
 *
 * What a caller has no means to check is not lied about: `recvmsg`, which CPython calls, stays within the buffers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define HONEST 6 /* SO_PRIORITY of a socket that is left alone */

static uint64_t state;
static unsigned char pattern;
static char taken[1 << 16];

void hostile_seed(uint64_t seed) { state = seed ? seed * 0x9E3779B97F4A7C15ULL | 1 : 0; }

static uint64_t draw(uint64_t below) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return ((state * 0x2545F4914F6CDD1DULL) >> 16) % below;
}

static int one_in(int n) { return draw(n) == 0; }

static int is_hostile(int fd) {
    int value = 0, saved = errno;
    socklen_t size = sizeof value;
    if (!state) return 0;
    int known = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size);
    int domain = value;
    size = sizeof value;
    known |= getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size);
    int type = value;
    size = sizeof value;
    known |= getsockopt(fd, SOL_SOCKET, SO_PRIORITY, &value, &size);
    errno = saved;
    return known == 0 && (domain == AF_INET || domain == AF_INET6) && type == SOCK_DGRAM && value != HONEST;
}

static int refuse(void) {
    static const int numbers[] = {EAGAIN, EAGAIN, EAGAIN, EINTR, ECONNREFUSED, ENOMEM, ENOBUFS, EIO, EINVAL, EMSGSIZE,
                                  EHOSTUNREACH, ENETDOWN, EPERM, EACCES, EFAULT, 0, 4095, -1};
    errno = numbers[draw(sizeof numbers / sizeof *numbers)];
    return -1;
}

static void fill(void *out, size_t size) {
    for (size_t i = 0; i < size; i++) ((unsigned char *) out)[i] = one_in(3) ? (one_in(2) ? 0xff : 0) : draw(256);
}

static int edge(void) {
    static const int numbers[] = {0, 1, 2, 3, 7, 8, 12, 64, 255, 1000, 1472, 32767, 65507, 65535, 65536, -1, -2,
                                  INT32_MAX, INT32_MIN, 1 << 16 | 1};
    return one_in(4) ? (int) draw(1500) : numbers[draw(sizeof numbers / sizeof *numbers)];
}

static void name_it(struct msghdr *header) {
    socklen_t room = header->msg_namelen;
    if (!header->msg_name) return;
    memset(header->msg_name, 0, room);
    if (one_in(3)) fill(header->msg_name, room);
    sa_family_t families[] = {AF_INET, AF_INET, AF_INET6, AF_INET6, AF_UNIX, AF_UNSPEC, (sa_family_t) draw(65536)};
    sa_family_t family = families[draw(7)];
    if (room >= sizeof family) memcpy(header->msg_name, &family, sizeof family);
    if (family == AF_INET6 && room >= 28 && one_in(2)) /* an IPv4 address in IPv6 */
        memcpy((char *) header->msg_name + 8, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
    socklen_t lengths[] = {family == AF_INET6 ? 28 : 16, 28, 16, 0, 2};
    header->msg_namelen = lengths[one_in(4) ? draw(5) : 0];
}

static void mark_it(struct msghdr *header, int lies) {
    static const int kinds[][2] = {{SOL_UDP, UDP_GRO}, {SOL_UDP, UDP_GRO}, {IPPROTO_IP, IP_PKTINFO}, {IPPROTO_IP, IP_TOS},
                                   {IPPROTO_IP, IP_TTL}, {IPPROTO_IPV6, IPV6_PKTINFO}, {IPPROTO_IPV6, IPV6_HOPLIMIT},
                                   {IPPROTO_IPV6, IPV6_TCLASS}, {SOL_SOCKET, 35 /* SO_TIMESTAMPNS */}, {IPPROTO_IP, 11},
                                   {IPPROTO_IPV6, 25}, {12345, -1}};
    static const size_t sizes[] = {0, 1, 2, 4, 8, 12, 16, 20, 28, 44};
    size_t room = header->msg_controllen, used = 0;
    if (!header->msg_control || !room) return;
    fill(header->msg_control, room);
    for (int count = draw(8); count > 0; count--) {
        size_t size = sizes[draw(sizeof sizes / sizeof *sizes)];
        const int *kind = kinds[draw(sizeof kinds / sizeof *kinds)];
        int number = edge();
        if (used + CMSG_SPACE(size) > room) break;
        struct cmsghdr *entry = (struct cmsghdr *) ((char *) header->msg_control + used);
        entry->cmsg_level = kind[0];
        entry->cmsg_type = kind[1];
        entry->cmsg_len = CMSG_LEN(size);
        if (size >= sizeof number && one_in(2)) memcpy(CMSG_DATA(entry), &number, sizeof number);
        used += CMSG_SPACE(size);
        if (lies && one_in(6)) {
            size_t lengths[] = {0, 1, CMSG_LEN(0), CMSG_LEN(4), CMSG_LEN(300), room, SIZE_MAX, SIZE_MAX / 2};
            entry->cmsg_len = lengths[draw(8)];
        }
    }
    header->msg_controllen = used;
    if (lies && one_in(8)) {
        size_t lengths[] = {0, 1, sizeof(struct cmsghdr), draw(room + 1), room, room + 1, room + 4096};
        header->msg_controllen = lengths[draw(7)];
    }
}

/* Makes up one message. Returns its length. */
static size_t make_up(struct msghdr *header, int lies) {
    size_t room = 0, length;
    for (size_t i = 0; i < header->msg_iovlen; i++) room += header->msg_iov[i].iov_len;
    size_t lengths[] = {0, 1, 4, draw(64), draw(300), draw(1500), draw(65536), room, room ? room - 1 : 0, 65507};
    length = lengths[draw(one_in(16) ? 10 : 6)]; /* mostly short ones: more cases a second */
    if (length > room) length = room;
    pattern++;
    for (size_t i = 0, left = length; i < header->msg_iovlen; i++) {
        size_t size = left < header->msg_iov[i].iov_len ? left : header->msg_iov[i].iov_len;
        memset(header->msg_iov[i].iov_base, pattern, size);
        left -= size;
    }
    name_it(header);
    mark_it(header, lies);
    header->msg_flags = one_in(8) ? (int) draw(1 << 16) : one_in(8) ? MSG_TRUNC : 0;
    return lies && length == room && one_in(3) ? (one_in(2) ? room + 1 + draw(70000) : UINT32_MAX - draw(2)) : length;
}

/* Takes one datagram out of the socket, so that it wakes its owner no more for that one. */
static void drain(int fd, int flags) {
    static ssize_t (*real)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
    if (!real) real = dlsym(RTLD_NEXT, "recvfrom");
    real(fd, taken, sizeof taken, (flags & MSG_ERRQUEUE) | MSG_DONTWAIT, NULL, NULL);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout) {
    static int (*real)(int, struct mmsghdr *, unsigned int, int, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "recvmmsg");
    if (!is_hostile(fd)) return real(fd, messages, count, flags, timeout);
    for (unsigned int i = 0; i < count; i++) drain(fd, flags);
    if (one_in(8)) return refuse();
    unsigned int got = count && one_in(3) ? count : draw(count + 1);
    for (unsigned int i = 0; i < got; i++) messages[i].msg_len = make_up(&messages[i].msg_hdr, 1);
    return got == count && one_in(16) ? (int) (count + 1 + draw(1000)) : (int) got;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    static ssize_t (*real)(int, struct msghdr *, int);
    if (!real) real = dlsym(RTLD_NEXT, "recvmsg");
    if (!is_hostile(fd)) return real(fd, message, flags);
    drain(fd, flags);
    if (one_in(flags & MSG_ERRQUEUE ? 2 : 8)) return refuse();
    return make_up(message, 0);
}

/* Looks at all that is to be sent, so that a sanitizer sees memory that is no longer there. */
static size_t look(const struct msghdr *message) {
    size_t total = 0;
    if (message->msg_name) memcpy(taken, message->msg_name, message->msg_namelen);
    if (message->msg_control) memcpy(taken, message->msg_control, message->msg_controllen);
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        size_t size = message->msg_iov[i].iov_len;
        memcpy(taken, message->msg_iov[i].iov_base, size < sizeof taken ? size : sizeof taken);
        total += size;
    }
    return total;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
    static int (*real)(int, struct mmsghdr *, unsigned int, int);
    if (!real) real = dlsym(RTLD_NEXT, "sendmmsg");
    if (!is_hostile(fd)) return real(fd, messages, count, flags);
    for (unsigned int i = 0; i < count; i++) messages[i].msg_len = look(&messages[i].msg_hdr);
    if (one_in(4)) return refuse();
    if (one_in(32)) return count + 1 + draw(1000);
    return one_in(2) ? count : draw(count + 1);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (!real) real = dlsym(RTLD_NEXT, "sendmsg");
    if (!is_hostile(fd)) return real(fd, message, flags);
    size_t total = look(message);
    return one_in(4) ? refuse() : (ssize_t) total;
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    if (!real) real = dlsym(RTLD_NEXT, "sendto");
    if (!is_hostile(fd)) return real(fd, data, size, flags, to, length);
    memcpy(taken, data, size < sizeof taken ? size : sizeof taken);
    return one_in(4) ? refuse() : (ssize_t) size;
}
