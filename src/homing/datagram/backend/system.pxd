# recvmmsg(2), sendmmsg(2), cmsg(3), udp(7), ip(7), ipv6(7): the declarations that the extensions use.

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <netinet/in.h>
    #include <time.h>
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    """
    enum:
        SOL_UDP
        UDP_SEGMENT
        UDP_GRO
        SOL_SOCKET
        SO_TIMESTAMPNS
        SO_RXQ_OVFL
        IPPROTO_IP
        IP_PKTINFO
        IP_TOS
        IP_TTL
        IPPROTO_IPV6
        IPV6_PKTINFO
        IPV6_TCLASS
        IPV6_HOPLIMIT
        MSG_DONTWAIT
        MSG_TRUNC
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct in_pktinfo:
        int ipi_ifindex
        unsigned char ipi_spec_dst[4]  # actually a struct in_addr, with the same bytes
        unsigned char ipi_addr[4]
    struct in6_pktinfo:
        unsigned char ipi6_addr[16]
        int ipi6_ifindex
    struct timespec:
        long long tv_sec
        long tv_nsec
    unsigned char* CMSG_DATA(cmsghdr* ancillary) nogil
    size_t CMSG_SPACE(size_t length) nogil
    size_t CMSG_LEN(size_t length) nogil
    struct sockaddr:
        pass
    ssize_t recvmsg(int fd, msghdr* header, int flags) nogil
    ssize_t sendto(int fd, const void* data, size_t size, int flags, const sockaddr* name, unsigned int length) nogil
    int recvmmsg(int fd, mmsghdr* headers, unsigned int count, int flags, void* timeout) nogil
    int sendmmsg(int fd, mmsghdr* headers, unsigned int count, int flags) nogil
