// SPDX-License-Identifier: MIT
//
// Branch coverage of the kernels, from the lines that a simulated chip appends to ISOMER_SIM_COVERAGE:
// "kernel TAB sides TAB taken" for each module that ended, then "kernel TAB text" for each side that it never
// ran. A kernel may have had several modules: a side counts as taken when one of them ran it.
#include "conformance/selftest/branches.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/suite/run.h"
#include "runtime/base/strings.h"

#define FOLDER_BYTES 64

typedef struct work_files {
    char folder[FOLDER_BYTES], chip[FOLDER_BYTES + 16], coverage[FOLDER_BYTES + 16];
} work_files;

static iso_status create_files(work_files *files)
{
    snprintf(files->folder, sizeof files->folder, "/tmp/isomer-branches-XXXXXX");
    if (!mkdtemp(files->folder))
        return iso_fail(ISO_IO, "no folder %s: %s", files->folder, strerror(errno));
    snprintf(files->chip, sizeof files->chip, "%s/plain.chip", files->folder);
    snprintf(files->coverage, sizeof files->coverage, "%s/coverage", files->folder);
    FILE *chip = fopen(files->chip, "we");
    bool written = chip && fputs("name Plain\n", chip) >= 0;
    if (!chip || fclose(chip) != 0 || !written)
        return iso_fail(ISO_IO, "%s: %s", files->chip, strerror(errno));
    if (setenv("ISOMER_SIM_CHIPS", files->chip, 1) != 0 ||
        setenv("ISOMER_SIM_COVERAGE", files->coverage, 1) != 0)
        return iso_fail(ISO_OUT_OF_MEMORY, "out of memory: the environment");
    return ISO_OK;
}

static void remove_files(const work_files *files)
{
    unlink(files->chip);
    unlink(files->coverage);
    rmdir(files->folder);
}

// kernels: {kernel: {"sides": n, "untaken": {text: true}}}. `untaken` collects the module that is being read.
static int take_module(json_t *kernels, const char *kernel, json_int_t sides, json_t *untaken)
{
    json_t *entry = json_object_get(kernels, kernel);
    if (!entry)
        return json_object_set_new(kernels, kernel,
                                   json_pack("{s:I, s:O}", "sides", sides, "untaken", untaken));
    json_t *before = json_object_get(entry, "untaken");
    const char *text;
    json_t *value;
    void *next;
    json_object_foreach_safe(before, next, text, value) if (!json_object_get(untaken, text))
        json_object_del(before, text);
    return 0;
}

static iso_status read_coverage(const char *path, json_t *kernels)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    char line[1024], kernel[256] = "";
    json_t *untaken = NULL;
    json_int_t sides = 0;
    int failed = 0;
    bool more = true;
    while (more && failed == 0) {
        more = fgets(line, sizeof line, file) != NULL;
        line[more ? strcspn(line, "\n") : 0] = '\0';
        char *text = more ? strchr(line, '\t') : NULL;
        char *second = text ? strchr(text + 1, '\t') : NULL;
        if ((second || !more) && untaken) { // the module before is complete
            failed = take_module(kernels, kernel, sides, untaken);
            json_decref(untaken);
            untaken = NULL;
        }
        if (text)
            *text++ = '\0';
        if (second) {
            iso_copy_text(kernel, sizeof kernel, line);
            sides = strtoll(text, NULL, 10);
            untaken = json_object();
        } else if (text && untaken) {
            failed = json_object_set_new(untaken, text, json_true());
        }
    }
    json_decref(untaken);
    fclose(file);
    return failed == 0 ? ISO_OK : iso_fail(ISO_OUT_OF_MEMORY, "out of memory: branch coverage");
}

static void print_kernel(FILE *file, const char *name, json_t *entry)
{
    json_t *untaken = json_object_get(entry, "untaken");
    json_int_t sides = json_integer_value(json_object_get(entry, "sides"));
    fprintf(file, "| %s | %lld | %lld | ", name, (long long)sides,
            (long long)(sides - (json_int_t)json_object_size(untaken)));
    const char *text;
    json_t *value;
    const char *separator = "";
    json_object_foreach(untaken, text, value)
    {
        fprintf(file, "%s%s", separator, text);
        separator = "; ";
    }
    fprintf(file, " |\n");
}

static void print_table(FILE *file, json_t *kernels, bool *out_complete)
{
    json_int_t sides = 0, never = 0;
    *out_complete = true;
    fprintf(file, "| kernel | sides of branches | taken | never |\n| --- | --- | --- | --- |\n");
    for (uint32_t o = 0; o < iso_ops()->count; o++)
        for (uint32_t k = 0; k < iso_ops()->ops[o]->kernel_count; k++) {
            const iso_kernel *kernel = iso_ops()->ops[o]->kernels[k];
            if (kernel->codes[0].format == ISO_CODE_NATIVE || kernel->backend)
                continue; // a simulated chip runs portable kernels
            json_t *entry = json_object_get(kernels, kernel->name);
            if (entry) {
                print_kernel(file, kernel->name, entry);
                sides += json_integer_value(json_object_get(entry, "sides"));
                never += (json_int_t)json_object_size(json_object_get(entry, "untaken"));
            } else {
                fprintf(file, "| %s | | 0 | the kernel never ran |\n", kernel->name);
                *out_complete = false;
            }
        }
    fprintf(file, "\n%lld of %lld sides of branches ran.\n", (long long)(sides - never), (long long)sides);
}

iso_status conform_branches_print(conform_level level, uint64_t seed, FILE *file, bool *out_complete)
{
    work_files files = {0};
    conform_run_facts facts = {0};
    json_t *kernels = json_object();
    conform_run_options options = {.device = "sim:0", .level = level, .seed = seed, .only = "ops/*"};
    iso_status status = create_files(&files);
    if (status == ISO_OK)
        status = conform_run(&options, &facts);
    if (status == ISO_OK)
        status = read_coverage(files.coverage, kernels);
    if (status == ISO_OK)
        print_table(file, kernels, out_complete);
    conform_run_facts_deinit(&facts);
    json_decref(kernels);
    remove_files(&files);
    return status;
}
