// SPDX-License-Identifier: MIT
//
// The command line by table: each option is one row that says where its value goes, what is allowed, what it
// is when absent, and what --help prints. Knows no command. Reads argv only; allocates nothing; prints
// nothing.
#ifndef ISOMER_TOOLS_OPTIONS_H
#define ISOMER_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/status.h"

typedef enum cli_kind {
    CLI_FLAG,   // bool; takes no value
    CLI_TEXT,   // const char *, lent from argv; NULL when absent
    CLI_COUNT,  // uint32_t
    CLI_SEED,   // uint64_t
    CLI_NUMBER, // double, finite
    CLI_CHOICE, // uint32_t: position of the word in `value`, "f32|bf16"
} cli_kind;

typedef struct cli_option {
    const char *name;      // "device"; a positional argument's name in capitals: "MODEL"
    const char *value;     // what stands for the value in --help, or a CHOICE's words
    const char *help;      // lines after the first are indented by --help
    const char *otherwise; // what an absent option is read as; NULL: zero
    cli_kind kind;
    size_t offset;   // of the field in the command's struct
    double min, max; // COUNT and NUMBER: allowed range; both 0: any
    char letter;     // short form; 0: none
    bool positional;
    bool required;
} cli_option;

// `-h` and `--help` are understood by every command.
#define CLI_HELP_NAME "help"

// At most this many rows in one table.
#define CLI_MAX_OPTIONS 64

// Fills `out` (zeroed by the caller) from `arguments` (without program and command). *out_help is set when
// help was asked for; the rest is not checked then. ISO_INVALID_ARGUMENT names the option, the value, what is
// allowed, and for unknown options the nearest ones.
iso_status cli_options_parse(const cli_option *options, size_t option_count, int argument_count,
                             char *const *arguments, void *out, bool *out_help) ISO_MUST_USE;

// Up to three words of `words` that are nearest to `word`, as "a, b, c"; for messages about unknown names.
void cli_nearest_words(const char *word, const char *const *words, size_t word_count, char *out,
                       size_t out_bytes);

#endif
