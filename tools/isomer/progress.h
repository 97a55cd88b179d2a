// SPDX-License-Identifier: MIT
//
// Progress of long work on standard error: one line, rewritten in place, and only where a person looks at a
// terminal. Nothing at all when standard error is a file or a pipe.
#ifndef ISOMER_TOOLS_PROGRESS_H
#define ISOMER_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

// Caller's storage; zero is off.
typedef struct cli_progress {
    char label[64];
    bool on;
    bool shown;
    uint64_t start_ns;
    uint64_t last_ns; // of the latest repaint
} cli_progress;

// Shows nothing yet: the first repaint comes with the first update that is a while after the start.
void cli_progress_begin(cli_progress *progress, const char *label);
// `context` is a cli_progress: fits the progress callbacks of iso_runner_options and iso_session_options.
void cli_progress_update(void *context, uint64_t done, uint64_t total);
// Wipes the line.
void cli_progress_end(cli_progress *progress);

#endif
