// SPDX-License-Identifier: MIT
//
// What a command of the program is, and what main() needs of it. A command is one file cmd_<name>.c that
// defines cli_command_<name>, and one line in commands.def. It fills a struct from its option table, prints
// its answer to standard output, and returns a status; main() prints errors, checks that the output arrived,
// and picks the exit code. Commands never exit and never write to standard error, except through progress.h
// and cli_note.
#ifndef ISOMER_TOOLS_CLI_H
#define ISOMER_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "isomer/status.h"
#include "tools/isomer/options.h"

typedef enum cli_exit {
    CLI_EXIT_YES = 0,
    CLI_EXIT_NO = 1,     // it worked, and the answer is "no"
    CLI_EXIT_USAGE = 2,  // the command line can never be right
    CLI_EXIT_FAILED = 3, // anything else, output that could not be written included
} cli_exit;

typedef struct cli_command {
    const char *synopsis; // what follows "isomer <name> "
    const char *about;    // a few lines for --help; may be NULL
    const char *examples; // lines, each ending in a newline
    const char *no_means; // what exit code 1 means; NULL where the command never says "no"
    const cli_option *options;
    size_t option_count;
    size_t options_bytes; // of the struct that the option table fills
    // *out_yes is true on entry. A failure's text comes from iso_fail.
    iso_status (*run)(const void *options, bool *out_yes);
} cli_command;

// Defines cli_command.options and its count from an array.
#define CLI_OPTIONS(array) .options = (array), .option_count = sizeof(array) / sizeof(array)[0]

// The exit code of a failure: ISO_INVALID_ARGUMENT is the user's, all else is not.
cli_exit cli_exit_of(iso_status status);

// One line "isomer: <text>" to standard error, for what the user should know although the command goes on.
void cli_note(const char *format, ...) ISO_PRINTF(1, 2);

// The calling thread's error record as one line on standard error.
void cli_print_failure(void);

// The whole help of a command, to standard output.
void cli_print_help(const char *name, const char *summary, const cli_command *command);

#endif
