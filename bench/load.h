/* The parts of the load generator. Times are those of now(). */
#include "common.h"

/* sources: number of source addresses, 127.1.x.y, used in turn; 0: one connected socket. */
void flood(int port, uint64_t end, size_t size, int segmented, unsigned sources);

void closed_loop(int port, uint64_t end, size_t size, uint32_t outstanding);

void open_loop(int port, uint64_t begin, uint64_t end, size_t size, uint32_t rate);
