// SPDX-License-Identifier: MIT
//
// Errors to exit codes and to one line of text, and the help of a command from its table.
#include "tools/isomer/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/isomer/output.h"

#define HELP_COLUMN 22

cli_exit cli_exit_of(iso_status status)
{
    if (status == ISO_OK)
        return CLI_EXIT_YES;
    return status == ISO_INVALID_ARGUMENT ? CLI_EXIT_USAGE : CLI_EXIT_FAILED;
}

void cli_note(const char *format, ...)
{
    char text[1024], clean[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    cli_clean_text(text, clean, sizeof clean);
    fprintf(stderr, "isomer: %s\n", clean);
}

void cli_print_failure(void)
{
    const iso_status_record *record = iso_status_last();
    // A closed pipe leaves no text: nobody reads it.
    if (record->text[0])
        cli_note("%s", record->text);
}

// Lines after the first begin under the first.
static void print_indented(const char *text, int column)
{
    for (; *text; text++) {
        putchar(*text);
        if (*text == '\n')
            printf("%*s", column, "");
    }
}

static void print_option(const cli_option *option)
{
    char left[80];
    char letter[8] = "";
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    if (option->positional)
        snprintf(left, sizeof left, "%s", option->name);
    else
        snprintf(left, sizeof left, "%s--%s%s%s", letter, option->name, option->value ? " " : "",
                 option->value ? option->value : "");
    printf("  %-*s", HELP_COLUMN - 2, left);
    if (strlen(left) > HELP_COLUMN - 4)
        printf("\n%*s", HELP_COLUMN, "");
    print_indented(option->help, HELP_COLUMN);
    if (option->otherwise)
        printf(" (default: %s)", option->otherwise);
    putchar('\n');
}

void cli_print_help(const char *name, const char *summary, const cli_command *command)
{
    printf("isomer %s: %s\n\nusage: isomer %s%s%s\n", name, summary, name, command->synopsis[0] ? " " : "",
           command->synopsis);
    if (command->about)
        printf("\n%s\n", command->about);
    printf("\noptions:\n");
    for (size_t i = 0; i < command->option_count; i++)
        print_option(&command->options[i]);
    printf("  %-*sthis text\n", HELP_COLUMN - 2, "-h, --help");
    printf("\nexamples:\n%s", command->examples);
    printf("\nexit codes:\n  0  done\n");
    if (command->no_means)
        printf("  1  %s\n", command->no_means);
    printf(
        "  2  the command line is wrong\n  3  anything else failed; one line on standard error says what\n");
}
