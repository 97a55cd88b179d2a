// SPDX-License-Identifier: MIT
//
// Wall time for speeds that are printed: monotonic nanoseconds, and rates out of them.
#ifndef ISOMER_TOOLS_CLOCK_H
#define ISOMER_TOOLS_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t cli_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Things per second; 0 where no time passed.
static inline double cli_rate(uint64_t count, uint64_t ns)
{
    return ns ? (double)count * 1e9 / (double)ns : 0.0;
}

#endif
