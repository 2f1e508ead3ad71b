/* The load generator. Prints one line of JSON.
 *
 *   load flood PORT SECONDS SIZE SEGMENTED SOURCES   sends as fast as it can (load_flood.c)
 *   load paced PORT SECONDS SIZE RATE                RATE packets a second, each in a system call (load_flood.c)
 *   load backlog PORT SECONDS SIZE COUNT PID         COUNT packets at once, while PID is stopped (load_flood.c)
 *   load echo PORT SECONDS SIZE OUTSTANDING          a closed loop of requests, each answer checked (load_echo.c)
 *   load open PORT SECONDS SIZE RATE                 RATE requests a second, answered or not (load_echo.c)
 */
#include "load.h"

enum { MOST_SECONDS = 60 };

int main(int argc, char **argv) {
    int longer = argc > 1 && (!strcmp(argv[1], "flood") || !strcmp(argv[1], "backlog"));
    if (argc < 6 + longer) {
        fprintf(stderr, "usage: load flood PORT SECONDS SIZE SEGMENTED SOURCES\n"
                        "       load paced PORT SECONDS SIZE RATE\n"
                        "       load backlog PORT SECONDS SIZE COUNT PID\n"
                        "       load echo PORT SECONDS SIZE OUTSTANDING\n"
                        "       load open PORT SECONDS SIZE RATE\n");
        return 2;
    }
    int port = atoi(argv[2]);
    double seconds = atof(argv[3]);
    size_t size = (size_t)atoi(argv[4]);
    uint32_t number = (uint32_t)atoi(argv[5]);
    if (size < 8 || size > MOST_SIZE || seconds < 0 || seconds > MOST_SECONDS) {
        fprintf(stderr, "load: SIZE must be 8 to %d, SECONDS 0 to %d\n", MOST_SIZE, MOST_SECONDS);
        return 2;
    }
    alarm(LIFE);
    uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);
    if (!strcmp(argv[1], "flood"))
        flood(port, end, size, (int)number, (unsigned)atoi(argv[6]));
    else if (!strcmp(argv[1], "paced"))
        paced(port, begin, end, size, number);
    else if (!strcmp(argv[1], "backlog"))
        backlog(port, end, size, number, atoi(argv[6]));
    else if (!strcmp(argv[1], "echo"))
        closed_loop(port, end, size, number);
    else
        open_loop(port, begin, end, size, number);
    return 0;
}
