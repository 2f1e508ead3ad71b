/* The parts of the load generator. Times are those of now(). */
#include "common.h"

static const uint64_t LATE = 100000; /* nanoseconds of delay after which a packet counts as sent too late: `behind` */

/* sources: number of source addresses, 127.1.x.y, used in turn; 0: one connected socket. */
void flood(int port, uint64_t end, size_t size, int segmented, unsigned sources);

/* Packet number n leaves n / rate seconds after the beginning, from one connected socket. */
void paced(int port, uint64_t begin, uint64_t end, size_t size, uint32_t rate);

/* Sends `count` packets while the process `pid` is stopped, lets it continue, and so on. */
void backlog(int port, uint64_t end, size_t size, uint32_t count, pid_t pid);

void closed_loop(int port, uint64_t end, size_t size, uint32_t outstanding);

void open_loop(int port, uint64_t begin, uint64_t end, size_t size, uint32_t rate);
