// SPDX-License-Identifier: MIT
//
// What the self-test tries: the catalogue of faults as a table, and the honest chips as the files of a
// folder. Makes the report in which the processes of the self-test write, and releases it. Runs nothing.
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance/selftest/child.h"

#define PATH_BYTES 4096
#define MAX_CHIPS  64

// ---- catalogue ----

typedef struct catalogue_miss {
    const char *name, *why;
} catalogue_miss;

static const conform_fault catalogue[] = {
#define CONFORM_FAULT(group, name, op, line) {#group, #name, op, line},
#define CONFORM_KNOWN_MISS(name, why)
#include "conformance/selftest/faults.def"
#undef CONFORM_FAULT
#undef CONFORM_KNOWN_MISS
};

static const catalogue_miss known_misses[] = {
#define CONFORM_FAULT(group, name, op, line)
#define CONFORM_KNOWN_MISS(name, why) {#name, why},
#include "conformance/selftest/faults.def"
#undef CONFORM_FAULT
#undef CONFORM_KNOWN_MISS
    {NULL, NULL},
};

#define CATALOGUE_COUNT (sizeof catalogue / sizeof catalogue[0])

const conform_fault *conform_fault_at(uint32_t index)
{
    return index < CATALOGUE_COUNT ? &catalogue[index] : NULL;
}

static const char *explanation_of(const char *name)
{
    const catalogue_miss *miss = known_misses;
    while (miss->name && strcmp(miss->name, name) != 0)
        miss++;
    return miss->why;
}

static bool is_wanted(const conform_self_test_options *options, const char *name)
{
    return !options->only || fnmatch(options->only, name, 0) == 0;
}

// ---- honest chips ----

static bool is_folder(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

// Beside the program, where it was installed, where it was built.
static bool find_chips(char *out, size_t out_bytes)
{
    char program[2048] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash = length > 0 ? strrchr(program, '/') : NULL;
    if (slash)
        *slash = '\0';
    if (slash && (snprintf(out, out_bytes, "%s/../share/isomer/chips", program), is_folder(out)))
        return true;
    snprintf(out, out_bytes, "%s", ISOMER_DATA_DIR "/chips");
    if (is_folder(out))
        return true;
    snprintf(out, out_bytes, "%s", ISOMER_SOURCE_DIR "/backends/sim/chips");
    return is_folder(out);
}

static int is_chip(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".chip") == 0;
}

static iso_status list_chips(const conform_self_test_options *options, conform_self_test_report *report)
{
    char folder[PATH_BYTES];
    if (options->no_chips)
        return ISO_OK;
    if (!find_chips(folder, sizeof folder))
        return iso_fail(ISO_NOT_FOUND, "the folder of chips is not there: %s", folder);
    struct dirent **names;
    int count = scandir(folder, &names, is_chip, alphasort);
    if (count < 0)
        return iso_fail(ISO_IO, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char name[sizeof report->chips->name];
        snprintf(name, sizeof name, "%.*s", (int)(strlen(names[i]->d_name) - strlen(".chip")),
                 names[i]->d_name);
        if (report->chip_count < MAX_CHIPS && is_wanted(options, name)) {
            conform_chip_result *chip = &report->chips[report->chip_count++];
            snprintf(chip->name, sizeof chip->name, "%s", name);
            snprintf(chip->file, sizeof chip->file, "%s/%s", folder, names[i]->d_name);
        }
        free(names[i]);
    }
    free(names);
    return ISO_OK;
}

// ---- report ----

// Shared with the processes that fill it.
static iso_status map_results(size_t count, size_t bytes, void **out)
{
    *out = mmap(NULL, count * bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (*out != MAP_FAILED)
        return ISO_OK;
    *out = NULL;
    return iso_fail(ISO_OUT_OF_MEMORY, "out of memory: %zu bytes to share wanted", count * bytes);
}

static void add_fault(conform_self_test_report *report, const conform_fault *fault)
{
    report->faults[report->fault_count++] = (conform_fault_result){
        .group = fault->group,
        .name = fault->name,
        .op = fault->op,
        .line = fault->line,
        .explanation = explanation_of(fault->name),
        .outcome = CONFORM_TIMED_OUT, // until its process says otherwise
    };
}

iso_status conform_self_test_report_create(const conform_self_test_options *options,
                                           conform_self_test_report *report)
{
    ISO_TRY(map_results(CATALOGUE_COUNT, sizeof *report->faults, (void **)&report->faults));
    ISO_TRY(map_results(MAX_CHIPS, sizeof *report->chips, (void **)&report->chips));
    const conform_fault given = {"given", "given", options->op ? options->op : "", options->line};
    if (options->line)
        add_fault(report, &given);
    for (size_t i = 0; i < CATALOGUE_COUNT && !options->line; i++)
        if (is_wanted(options, catalogue[i].name))
            add_fault(report, &catalogue[i]);
    ISO_TRY(list_chips(options, report));
    if (report->fault_count + report->chip_count == 0)
        return iso_fail(ISO_NOT_FOUND, "no fault and no chip is called \"%s\"", options->only);
    return ISO_OK;
}

void conform_self_test_deinit(conform_self_test_report *report)
{
    if (report->faults)
        munmap(report->faults, CATALOGUE_COUNT * sizeof *report->faults);
    if (report->chips)
        munmap(report->chips, MAX_CHIPS * sizeof *report->chips);
    *report = (conform_self_test_report){0};
}
