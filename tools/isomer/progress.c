// SPDX-License-Identifier: MIT
//
// The progress line.
#include "tools/isomer/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/isomer/output.h"

#define REPAINT_NS 100000000u
// The time left is guessed from at least this much.
#define LEAST_PERCENT 3.0
#define LEAST_SECONDS 2.0

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void cli_progress_begin(cli_progress *progress, const char *label)
{
    uint64_t now = now_ns();
    *progress = (cli_progress){.on = isatty(STDERR_FILENO) == 1, .start_ns = now, .last_ns = now};
    cli_clean_text(label, progress->label, sizeof progress->label);
}

void cli_progress_update(void *context, uint64_t done, uint64_t total)
{
    cli_progress *progress = context;
    if (!progress->on || now_ns() - progress->last_ns < REPAINT_NS)
        return;
    progress->last_ns = now_ns();
    progress->shown = true;
    double percent = total ? 100.0 * (double)done / (double)total : 0.0;
    fprintf(stderr, "\r\033[K%s: %3.0f %%", progress->label, percent);
    double spent = (double)(progress->last_ns - progress->start_ns) / 1e9;
    if (percent >= LEAST_PERCENT && spent >= LEAST_SECONDS)
        fprintf(stderr, ", about %.0f s left", spent * (100.0 / percent - 1.0));
    fflush(stderr);
}

void cli_progress_end(cli_progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = progress->on = false;
}
