// SPDX-License-Identifier: MIT
//
// The program: finds the command, reads its options, runs it, reports one line on failure, and makes sure
// that the answer reached standard output. Knows commands only by commands.def.
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "isomer/allocator.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/output.h"

#define CLI_COMMAND(name, summary) extern const cli_command cli_command_##name;
#include "tools/isomer/commands.def"
#undef CLI_COMMAND

typedef struct command_entry {
    const char *name;
    const char *summary;
    const cli_command *command;
} command_entry;

static const command_entry commands[] = {
#define CLI_COMMAND(name, summary) {#name, summary, &cli_command_##name},
#include "tools/isomer/commands.def"
#undef CLI_COMMAND
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_overview(void)
{
    printf("isomer %s: one DeepSeek model, described once, on every device of this machine\n\n"
           "usage: isomer COMMAND [options]\n\n",
           ISOMER_VERSION);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s%s\n", commands[i].name, commands[i].summary);
    printf("\n  isomer COMMAND --help   options, examples and exit codes of a command\n"
           "  isomer --version        the version\n\n"
           "MODEL is a checkpoint's folder as published, or tiny-r1, the built-in model. Begin with:\n\n"
           "  isomer devices\n"
           "  isomer plan tiny-r1\n");
}

static iso_status find_command(const char *name, const command_entry **out)
{
    const char *words[COMMAND_COUNT];
    char nearest[160];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        words[i] = commands[i].name;
        if (strcmp(name, commands[i].name) == 0) {
            *out = &commands[i];
            return ISO_OK;
        }
    }
    cli_nearest_words(name, words, COMMAND_COUNT, nearest, sizeof nearest);
    return iso_fail(ISO_INVALID_ARGUMENT, "no command \"%.64s\"; nearest: %s (isomer --help lists all)", name,
                    nearest);
}

static iso_status run_command(const command_entry *entry, int count, char **arguments, bool *out_yes)
{
    const cli_command *command = entry->command;
    void *options = NULL;
    bool help;
    ISO_TRY(iso_alloc(NULL, command->options_bytes, &options));
    iso_status status =
        cli_options_parse(command->options, command->option_count, count, arguments, options, &help);
    if (status != ISO_OK)
        status = iso_status_prefix("%s", entry->name);
    else if (help)
        cli_print_help(entry->name, entry->summary, command);
    else
        status = command->run(options, out_yes);
    iso_free(NULL, options);
    return status;
}

static iso_status run(int argc, char **argv, bool *out_yes)
{
    const command_entry *entry;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (argc == 2 && strcmp(argv[1], "help") == 0)) {
        print_overview();
        return ISO_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("isomer %s\n", ISOMER_VERSION);
        return ISO_OK;
    }
    if (strcmp(argv[1], "help") == 0) {
        ISO_TRY(find_command(argv[2], &entry));
        cli_print_help(entry->name, entry->summary, entry->command);
        return ISO_OK;
    }
    ISO_TRY(find_command(argv[1], &entry));
    return run_command(entry, argc - 2, argv + 2, out_yes);
}

// A file opened later must never become standard input, output or error. Standard output is opened for
// reading, so that printing to it fails and is reported.
static void occupy_closed_streams(void)
{
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int descriptor = 0; descriptor < 3; descriptor++)
        if (fcntl(descriptor, F_GETFD) == -1)
            (void)open("/dev/null", modes[descriptor]);
}

int main(int argc, char **argv)
{
    bool yes = true;
    occupy_closed_streams();
    // Writing to a closed pipe is then an error like any other.
    signal(SIGPIPE, SIG_IGN);
    iso_status status = run(argc, argv, &yes);
    // The first failure is told; after it, output that does not arrive is no news.
    if (status == ISO_OK)
        status = cli_output_finish();
    if (status != ISO_OK) {
        cli_print_failure();
        return cli_exit_of(status);
    }
    return yes ? CLI_EXIT_YES : CLI_EXIT_NO;
}
