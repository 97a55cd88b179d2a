// SPDX-License-Identifier: MIT
//
// Fuzzes the option parser and the parser of --place: each line of the input is one argument. Whatever is
// accepted must be what the parsers promise: values in range, choices that exist, layers covered once.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The program is no library; its parsers know nothing of it, so they are compiled in.
#include "tools/isomer/options.c"
#include "tools/isomer/place.c"

#define MAX_ARGUMENTS 24
#define LAYER_COUNT   61

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_options {
    const char *model, *place;
    bool json;
    uint32_t count, choice;
    uint64_t seed;
    double number;
} fuzz_options;

static const cli_option table[] = {
    {.name = "MODEL",
     .kind = CLI_TEXT,
     .offset = offsetof(fuzz_options, model),
     .positional = true,
     .required = true},
    {.name = "place", .value = "P", .kind = CLI_TEXT, .offset = offsetof(fuzz_options, place)},
    {.name = "json", .kind = CLI_FLAG, .offset = offsetof(fuzz_options, json)},
    {.name = "count",
     .value = "N",
     .otherwise = "64",
     .kind = CLI_COUNT,
     .offset = offsetof(fuzz_options, count),
     .min = 1,
     .max = 1000,
     .letter = 'n'},
    {.name = "choice", .value = "f32|bf16|x", .kind = CLI_CHOICE, .offset = offsetof(fuzz_options, choice)},
    {.name = "seed", .value = "N", .kind = CLI_SEED, .offset = offsetof(fuzz_options, seed), .letter = 's'},
    {.name = "number",
     .value = "X",
     .otherwise = "1",
     .kind = CLI_NUMBER,
     .offset = offsetof(fuzz_options, number),
     .min = 0.5,
     .max = 2},
};

static void require(bool promise, const char *what)
{
    if (promise)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void check_place(const char *text)
{
    cli_place place;
    if (cli_place_parse(text, LAYER_COUNT, &place) != ISO_OK) {
        require(iso_status_last()->text[0] != '\0', "a failure has a text");
        return;
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < place.range_count; i++) {
        require(place.ranges[i].first_layer == next, "ranges follow each other");
        require(place.ranges[i].last_layer >= next, "ranges are not empty");
        require(place.ranges[i].device[0] != '\0', "ranges name a device");
        next = place.ranges[i].last_layer + 1;
    }
    require(next == LAYER_COUNT, "ranges reach the last layer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *arguments[MAX_ARGUMENTS];
    int count = 0;
    bool help;
    fuzz_options options = {0};
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *rest = text, *line; count < MAX_ARGUMENTS && (line = strsep(&rest, "\n"));)
        arguments[count++] = line;
    iso_status status =
        cli_options_parse(table, sizeof table / sizeof table[0], count, arguments, &options, &help);
    if (status != ISO_OK) {
        require(status == ISO_INVALID_ARGUMENT && iso_status_last()->text[0] != '\0', "a failure has a text");
    } else if (!help) {
        require(options.model != NULL, "a required argument is there");
        require(options.count >= 1 && options.count <= 1000, "a count is in range");
        require(options.number >= 0.5 && options.number <= 2, "a number is in range");
        require(options.choice <= 2, "a choice exists");
        if (options.place)
            check_place(options.place);
    }
    // Every line is also tried as a placement: the option is rarely hit by chance.
    for (int i = 0; i < count; i++)
        check_place(arguments[i]);
    free(text);
    return 0;
}
