// SPDX-License-Identifier: MIT
//
// The model suite: every golden model on the device, teacher-forced and observed op by op, then as everybody
// runs it.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "conformance/models/trial.h"

#define UNIT_SECONDS 300

static const conform_model_format formats[] = {
    {.name = "f32", .activation = ISO_DTYPE_F32, .dense_worst = 5e-5, .routed_worst = 5e-5},
    {.name = "bf16",
     .activation = ISO_DTYPE_BF16,
     .dense_worst = 0.25,
     .dense_rms = 0.03,
     .routed_worst = 0.4,
     .routed_rms = 0.05,
     .force = true},
    {.name = "w8a8", .activation = ISO_DTYPE_F32, .w8a8 = true},
};

// Models, the formats that each runs in, and whether it is in the quick level, too, with few tokens.
static const struct {
    const char *name, *formats;
    bool quick;
} models[] = {
    {"v3-bf16", "f32 bf16", true},           {"r1-distill-qwen", "f32 bf16", true},
    {"v2-lite", "f32 bf16", false},          {"v2", "f32 bf16", false},
    {"v3-fp8", "f32 bf16 w8a8", false},      {"moonlight", "f32 bf16", false},
    {"r1-distill-llama", "f32 bf16", false}, {"r1-0528-qwen3", "f32 bf16", false},
};

static iso_status list_units(conform_unit_list *list, const iso_device_info *device)
{
    (void)device;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (models[i].quick)
            ISO_TRY(
                conform_add_unit(list, "model", CONFORM_QUICK, UNIT_SECONDS, "%s/f32/brief", models[i].name));
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++)
            if (strstr(models[i].formats, formats[f].name))
                ISO_TRY(conform_add_unit(list, "model", CONFORM_STANDARD, UNIT_SECONDS, "%s/%s",
                                         models[i].name, formats[f].name));
    return ISO_OK;
}

void conform_model_report(const conform_model_trial *trial, conform_result result, double score)
{
    result.score = score;
    if (!trial->context->report) {
        json_decref(result.more);
        return;
    }
    result.input_hash = XXH3_64bits(trial->ids, trial->subject.id_count * sizeof trial->ids[0]);
    trial->context->report(trial->context, &result);
}

static void end_run(conform_model_trial *t)
{
    conform_trace_destroy(&t->trace);
    conform_subject_destroy(&t->subject);
    iso_free(NULL, t->forced);
    t->forced = NULL;
}

static iso_status run_trial(conform_model_trial *t)
{
    uint32_t flips, ignored;
    bool routed = t->golden.config->routed_expert_count > 0;
    ISO_TRY(conform_model_observe(t, routed && t->format->force, &flips));
    ISO_TRY(conform_model_run(t));
    if (flips == 0 || t->is_forced)
        return ISO_OK;
    // A choice flipped, and what follows it computes something else: once more with the exact choices.
    end_run(t);
    return conform_model_observe(t, true, &ignored);
}

// "model/<name>/<format>[/brief]"
static bool parse_unit(const char *id, conform_model_trial *t, char name[64])
{
    char format[16] = "", brief[16] = "";
    int count = sscanf(id, "model/%63[^/]/%15[^/]/%15[^/]", name, format, brief);
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++)
        if (strcmp(formats[f].name, format) == 0)
            t->format = &formats[f];
    t->brief = strcmp(brief, "brief") == 0;
    return t->format && count >= 2 && (count == 2 || t->brief);
}

static iso_status run_unit(conform_context *context, const conform_unit *unit)
{
    conform_model_trial trial = {.context = context};
    char name[64];
    struct stat info;
    if (!parse_unit(unit->id, &trial, name))
        return iso_fail(
            ISO_NOT_FOUND,
            "suite model has no unit %s; units are model/NAME/FORMAT and model/NAME/FORMAT/brief, "
            "FORMAT being f32, bf16 or w8a8",
            unit->id);
    if (stat(CONFORM_GOLDEN_FOLDER, &info) != 0) {
        conform_model_report(&trial,
                             conform_result_make(CONFORM_SKIP, "golden models", "%s is not on this machine",
                                                 CONFORM_GOLDEN_FOLDER),
                             0);
        return ISO_OK;
    }
    iso_status status = conform_golden_open(name, &trial.golden);
    if (status == ISO_OK)
        status = run_trial(&trial);
    if (status == ISO_UNSUPPORTED) {
        conform_model_report(
            &trial, conform_result_make(CONFORM_UNSUPPORTED, "kernels", "%s", iso_status_last()->text), 0);
        status = ISO_OK;
    }
    end_run(&trial);
    conform_golden_close(&trial.golden);
    return status;
}

extern const conform_suite conform_suite_model;
const conform_suite conform_suite_model = {
    "model", "golden models, op by op and as a whole, against exact answers", list_units, run_unit};
