// SPDX-License-Identifier: MIT
//
// Units of the device suite: code. What must be refused is refused in order, with a text, and the device
// works on; damaged code is given only in ways that a loader must look for (cut, wrong head, not its
// language, no such entry), not as random bits, which real drivers are known to die of.
#include <stdio.h>
#include <string.h>

#include "conformance/device/bench.h"

// ---- refused ----

iso_status device_refuses_code(device_bench *bench)
{
    static const iso_code_format foreign[] = {ISO_CODE_NONE, ISO_CODE_HSACO, (iso_code_format)77};
    iso_module_source source;
    iso_module *module = NULL;
    const iso_device_info *info = iso_device_get_info(bench->device);
    ISO_TRY(conform_probe_source(info, CONFORM_PROBE_STEP, &source));
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        bool takes = false;
        for (int f = 0; f < ISO_MAX_CODE_FORMATS; f++)
            takes |= foreign[i] != ISO_CODE_NONE && info->code_formats[f] == foreign[i];
        if (takes)
            continue;
        iso_module_source other = source;
        other.format = foreign[i];
        other.code = "x";
        other.code_bytes = 1;
        device_refused(bench, iso_module_create(bench->device, &other, &module), ISO_UNSUPPORTED,
                       ISO_UNSUPPORTED, "code of a format that the device does not list");
        device_expect(bench, module == NULL, "a refused module is not NULL");
    }
    iso_module_source crowded = source, nameless = source;
    crowded.arg_count = ISO_MAX_KERNEL_ARGS + 1;
    nameless.name = NULL;
    device_refused(bench, iso_module_create(bench->device, &crowded, &module), ISO_INVALID_ARGUMENT,
                   ISO_INVALID_ARGUMENT, "a module with more arguments than there may be");
    device_refused(bench, iso_module_create(bench->device, &nameless, &module), ISO_INVALID_ARGUMENT,
                   ISO_INVALID_ARGUMENT, "a module without a name");
    return device_works_on(bench, "after refused modules");
}

// ---- damaged ----

typedef struct damage {
    const char *what;
    // Changes a copy of the code; *bytes may shrink. Texts keep their NUL beyond `bytes`.
    void (*apply)(char *code, size_t *bytes);
} damage;

static void cut_half(char *code, size_t *bytes)
{
    *bytes /= 2;
    code[*bytes] = '\0';
}

static void cut_to_word(char *code, size_t *bytes)
{
    *bytes = *bytes / 8 * 4;
    code[*bytes] = '\0';
}

static void cut_to_nothing(char *code, size_t *bytes)
{
    *bytes = 4;
    code[4] = '\0';
}

static void wrong_head(char *code, size_t *bytes)
{
    memcpy(code, "\x7f\x45LF", *bytes < 4 ? *bytes : 4);
}

static void all_zero(char *code, size_t *bytes)
{
    memset(code, 0, *bytes);
}

static void no_language(char *code, size_t *bytes)
{
    memset(code, '}', *bytes);
}

static void lost_brace(char *code, size_t *bytes)
{
    char *brace = strrchr(code, '}');
    (void)bytes;
    if (brace)
        *brace = '{';
}

static void no_entry(char *code, size_t *bytes)
{
    char *entry = strstr(code, "probe_step");
    (void)bytes;
    if (entry)
        memcpy(entry, "prode_step", 10);
}

static const damage binary_damages[] = {
    {"cut in half, to whole words", cut_to_word},
    {"cut within a word", cut_half},
    {"cut to one word", cut_to_nothing},
    {"another file's head", wrong_head},
    {"all zero", all_zero},
};
static const damage text_damages[] = {
    {"cut in half", cut_half},
    {"not the language", no_language},
    {"a brace turned round", lost_brace},
    {"another entry", no_entry},
};

static iso_status try_damage(device_bench *bench, const iso_module_source *source, const damage *damage)
{
    char *code, what[96];
    iso_module *module = NULL;
    iso_module_source damaged = *source;
    ISO_TRY(iso_alloc(NULL, source->code_bytes + 5, (void **)&code));
    memcpy(code, source->code, source->code_bytes);
    damage->apply(code, &damaged.code_bytes);
    damaged.code = code;
    iso_status status = iso_module_create(bench->device, &damaged, &module);
    snprintf(what, sizeof what, "code that is damaged: %s", damage->what);
    // Which of the three is the backend's choice; what counts is that it notices.
    if (status != ISO_UNSUPPORTED)
        device_refused(bench, status, ISO_BUILD_FAILED, ISO_INVALID_ARGUMENT, what);
    device_expect(bench, module == NULL, "a refused module is not NULL");
    iso_module_destroy(module);
    iso_free(NULL, code);
    return device_works_on(bench, what);
}

iso_status device_damaged_code(device_bench *bench)
{
    iso_module_source source;
    ISO_TRY(conform_probe_source(iso_device_get_info(bench->device), CONFORM_PROBE_STEP, &source));
    bool text = source.format == ISO_CODE_OPENCL_C;
    size_t count = text ? sizeof text_damages / sizeof text_damages[0]
                        : sizeof binary_damages / sizeof binary_damages[0];
    for (size_t i = 0; i < count; i++)
        ISO_TRY(try_damage(bench, &source, text ? &text_damages[i] : &binary_damages[i]));
    return ISO_OK;
}

// ---- many ----

enum { COPIES = 6 };

// Every probe several times over, alive at once; then one of them does its work.
iso_status device_many_modules(device_bench *bench)
{
    iso_module *modules[COPIES * CONFORM_PORTABLE_PROBE_COUNT] = {NULL};
    const iso_device_info *info = iso_device_get_info(bench->device);
    iso_status status = ISO_OK;
    uint32_t count = 0;
    for (uint32_t i = 0; i < COPIES * CONFORM_PORTABLE_PROBE_COUNT; i++) {
        iso_module_source source;
        conform_probe probe = (conform_probe)(i % CONFORM_PORTABLE_PROBE_COUNT);
        ISO_TRY_GOTO(conform_probe_source(info, probe, &source), done);
        // A device without FP8 or BF16 may say no to those that read it.
        status = iso_module_create(bench->device, &source, &modules[i]);
        if (status == ISO_BUILD_FAILED || status == ISO_UNSUPPORTED)
            continue;
        ISO_TRY_GOTO(status, done);
        count++;
    }
    device_expect(bench, count >= COPIES * (CONFORM_PORTABLE_PROBE_COUNT - 4),
                  "only %u of %d modules could be built", count, COPIES * CONFORM_PORTABLE_PROBE_COUNT);
    status = device_works_on(bench, "with many modules alive");
done:
    for (uint32_t i = 0; i < COPIES * CONFORM_PORTABLE_PROBE_COUNT; i++)
        iso_module_destroy(modules[i]);
    return status == ISO_OK ? device_works_on(bench, "after many modules were destroyed") : status;
}
