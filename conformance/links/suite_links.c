// SPDX-License-Identifier: MIT
//
// The link suite: the tiny golden model over two devices at once, cut at any op, both ways, there and back,
// and with every op on the other device than the one before.
//
// What is demanded
//   twins   a device and a second opening of itself: a transfer copies bits, so the logits must be those of
//   the device
//           alone, bit for bit, in F32 and in BF16
//   pairs   two different devices: against the CPU alone, within the composed bound. Each device alone is
//   held to
//           EACH = 5e-5 of the logits' RMS from the exact answers (conformance/README.md). To first order the
//           error of a mixed run is the sum of what its ops add, those on A at most what a whole run on A
//           may, those on B likewise, and the CPU's own: bound = 3 EACH RMS. And twice the same bits.
//
// What would be caught: a transfer that is missing, stale, of the wrong size, place or step; a copy that does
// not wait for its list; a cache or an input on one device only; drivers that disturb each other.
#include "conformance/links/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EACH 5e-5

// ---- twins ----

static iso_status judge_twin(link_bench *bench, const link_cut *cut, link_worst *worst)
{
    char where[96];
    link_name_cut(bench, cut, where);
    ISO_TRY(link_run_cut(bench, cut, LINK_MIXED, worst));
    link_judge(bench, LINK_MIXED, LINK_ALONE, 0, where, worst);
    return ISO_OK;
}

static iso_status twins_of(link_bench *bench, iso_dtype activation, const char *check)
{
    link_worst worst = {0};
    iso_device *first = bench->context->device, *second = bench->own;
    uint32_t all = bench->model.positions - 1, count = bench->most_cuts < all ? bench->most_cuts : all;
    ISO_TRY(link_run_alone(bench, first, activation, LINK_ALONE));
    for (uint32_t n = 0; n < count; n++) {
        uint32_t at = link_choose_cut(bench, n, count);
        link_cut there = {first, second, at, LINK_NO_LIMIT, activation}, and_back = there;
        and_back.back = at + 1 + n % 7;
        ISO_TRY(judge_twin(bench, &there, &worst));
        if (and_back.back + 1 < bench->model.positions && (n % 4 == 0 || count < 8))
            ISO_TRY(judge_twin(bench, &and_back, &worst));
    }
    ISO_TRY(link_run_zigzag(bench, &(link_cut){.first = first, .second = second, .activation = activation},
                            &worst));
    link_judge(bench, LINK_MIXED, LINK_ALONE, 0, "every op on the other one", &worst);
    link_send_worst(bench, check, &worst);
    return ISO_OK;
}

// Few cuts of F32 go with none of BF16, which is then only cut everywhere at once.
static iso_status run_twins(link_bench *bench)
{
    ISO_TRY(twins_of(bench, ISO_DTYPE_F32, "twins, f32"));
    if (bench->most_cuts < 8)
        bench->most_cuts = 0;
    return twins_of(bench, ISO_DTYPE_BF16, "twins, bf16");
}

// ---- pairs ----

static iso_status judge_pair(link_bench *bench, const link_cut *cut, double bound, bool again,
                             link_worst *worst)
{
    char where[96];
    link_name_cut(bench, cut, where);
    ISO_TRY(link_run_cut(bench, cut, LINK_MIXED, worst));
    link_judge(bench, LINK_MIXED, LINK_BY_CPU, bound, where, worst);
    if (!again)
        return ISO_OK;
    ISO_TRY(link_run_cut(bench, cut, LINK_AGAIN, worst));
    link_judge(bench, LINK_AGAIN, LINK_MIXED, 0, where, worst);
    return ISO_OK;
}

static iso_status judge_direction(link_bench *bench, iso_device *first, iso_device *second, double bound,
                                  link_worst *worst)
{
    uint32_t all = bench->model.positions - 1, count = bench->most_cuts < all ? bench->most_cuts : all;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t at = link_choose_cut(bench, n, count);
        link_cut there = {first, second, at, LINK_NO_LIMIT, ISO_DTYPE_F32}, and_back = there;
        and_back.back = at + 1 + n % 7;
        ISO_TRY(judge_pair(bench, &there, bound, n == 0, worst));
        if (and_back.back + 1 < bench->model.positions && n % 4 == 0)
            ISO_TRY(judge_pair(bench, &and_back, bound, false, worst));
    }
    ISO_TRY(link_run_zigzag(bench, &(link_cut){.first = first, .second = second, .activation = ISO_DTYPE_F32},
                            worst));
    link_judge(bench, LINK_MIXED, LINK_BY_CPU, bound, "every op on the other one", worst);
    return ISO_OK;
}

// Both directions.
static iso_status judge_with(link_bench *bench, iso_device *other)
{
    char check[96];
    iso_device *const own = bench->own;
    double bound = 3 * EACH * link_rms(bench, LINK_BY_CPU);
    for (int direction = 0; direction < 2; direction++) {
        link_worst worst = {0};
        iso_device *first = direction ? other : own, *second = direction ? own : other;
        snprintf(check, sizeof check, "%s then %s", iso_device_name(first), iso_device_name(second));
        ISO_TRY(judge_direction(bench, first, second, bound, &worst));
        link_send_worst(bench, check, &worst);
    }
    return ISO_OK;
}

static bool runs_kernels(const iso_device_info *info)
{
    return info->available && info->code_formats[0] != ISO_CODE_NONE;
}

// Simulated chips are no partners: each stands for a machine of its own.
static bool is_partner(const link_bench *bench, const iso_device_info *info)
{
    const iso_device_info *own = iso_device_get_info(bench->own);
    bool same = strcmp(info->backend, own->backend) == 0 && info->ordinal == own->ordinal;
    return runs_kernels(info) && !same && strcmp(info->backend, "sim") != 0;
}

static void skip_partner(link_bench *bench, const char *name, const char *why)
{
    conform_result result = conform_result_make(CONFORM_SKIP, bench->unit, "not with %s: %s", name, why);
    link_send(bench, &result);
}

// A device that is wrong by itself is skipped by its name: its faults are not the other one's.
static iso_status judge_partner(link_bench *bench, iso_device *other, uint32_t *judged)
{
    link_worst alone = {0};
    double bound = 2 * EACH * link_rms(bench, LINK_BY_CPU);
    if (link_run_alone(bench, other, ISO_DTYPE_F32, LINK_ALONE) != ISO_OK) {
        skip_partner(bench, iso_device_name(other), iso_status_last()->text);
        return ISO_OK;
    }
    link_judge(bench, LINK_ALONE, LINK_BY_CPU, bound, iso_device_name(other), &alone);
    if (alone.failed == 0) {
        ++*judged;
        return judge_with(bench, other);
    }
    skip_partner(bench, iso_device_name(other), "it is not within its bound even alone");
    return ISO_OK;
}

// The first other devices that can be judged with, up to `most`.
static iso_status judge_others(link_bench *bench, uint32_t most)
{
    uint32_t done = 0, found = 0;
    ISO_TRY(link_run_alone(bench, bench->cpu, ISO_DTYPE_F32, LINK_BY_CPU));
    for (uint32_t i = 0; i < iso_registry_device_count(bench->registry) && done < most; i++) {
        const iso_device_info *info = iso_registry_device_info(bench->registry, i);
        char name[32];
        iso_device *other;
        snprintf(name, sizeof name, "%.15s:%u", info->backend, info->ordinal);
        if (!is_partner(bench, info))
            continue;
        found++;
        if (iso_device_open(bench->registry, name, &(iso_device_options){.validate = true}, &other) !=
            ISO_OK) {
            skip_partner(bench, name, iso_status_last()->text);
            continue;
        }
        iso_status status = judge_partner(bench, other, &done);
        iso_device_close(other);
        ISO_TRY(status);
    }
    if (found)
        return ISO_OK;
    conform_result result =
        conform_result_make(CONFORM_SKIP, bench->unit, "this machine has no other device that runs kernels");
    link_send(bench, &result);
    return ISO_OK;
}

static iso_status run_one_pair(link_bench *bench)
{
    return judge_others(bench, 1);
}

static iso_status run_all_pairs(link_bench *bench)
{
    return judge_others(bench, LINK_NO_LIMIT);
}

// Every cut once, with the CPU (the CPU itself: with its twin), in turns the one way and the other.
static iso_status run_every_op(link_bench *bench)
{
    link_worst worst = {0};
    ISO_TRY(link_run_alone(bench, bench->cpu, ISO_DTYPE_F32, LINK_BY_CPU));
    double bound = 3 * EACH * link_rms(bench, LINK_BY_CPU);
    for (uint32_t at = 0; at + 1 < bench->model.positions; at++) {
        link_cut cut = {bench->own, bench->cpu, at, LINK_NO_LIMIT, ISO_DTYPE_F32};
        if (at % 2) {
            cut.first = bench->cpu;
            cut.second = bench->own;
        }
        ISO_TRY(judge_pair(bench, &cut, bound, false, &worst));
    }
    link_send_worst(bench, "cut at every op", &worst);
    return ISO_OK;
}

// ---- the suite ----

static const struct {
    const char *name;
    conform_level level;
    uint32_t limit_seconds, cuts;
    iso_status (*run)(link_bench *bench);
} units[] = {
    {"twins", CONFORM_QUICK, 60, 1, run_twins},
    {"pair", CONFORM_QUICK, 60, 1, run_one_pair},
    {"every-op", CONFORM_STANDARD, 300, 0, run_every_op},
    {"all-pairs", CONFORM_STANDARD, 300, 2, run_all_pairs},
    {"twins-every-op", CONFORM_EXHAUSTIVE, 1800, LINK_NO_LIMIT, run_twins},
    {"all-pairs-every-op", CONFORM_EXHAUSTIVE, 7200, LINK_NO_LIMIT, run_all_pairs},
};

#define UNIT_COUNT (sizeof units / sizeof units[0])

static iso_status list_units(conform_unit_list *list, const iso_device_info *device)
{
    (void)device;
    for (size_t i = 0; i < UNIT_COUNT; i++)
        ISO_TRY(conform_add_unit(list, "links", units[i].level, units[i].limit_seconds, "%s", units[i].name));
    return ISO_OK;
}

static void close_bench(link_bench *bench)
{
    for (size_t i = 0; i < sizeof bench->logits / sizeof bench->logits[0]; i++)
        iso_free(NULL, bench->logits[i]);
    iso_device_close(bench->cpu);
    iso_device_close(bench->own);
    iso_registry_destroy(bench->registry);
    link_model_close(&bench->model);
}

static iso_status open_bench(link_bench *bench)
{
    const iso_device_options options = {.validate = true};
    for (size_t i = 0; i < sizeof bench->logits / sizeof bench->logits[0]; i++)
        ISO_TRY(ISO_NEW(NULL, link_logit_count(bench), &bench->logits[i]));
    ISO_TRY(iso_registry_create(NULL, &bench->registry));
    ISO_TRY(iso_device_open(bench->registry, iso_device_name(bench->context->device), &options, &bench->own));
    return iso_device_open(bench->registry, "cpu", &options, &bench->cpu);
}

static iso_status run_numbered(conform_context *context, size_t number)
{
    link_bench bench = {.context = context, .unit = units[number].name, .most_cuts = units[number].cuts};
    conform_result skip;
    if (!runs_kernels(iso_device_get_info(context->device))) {
        skip = conform_result_make(CONFORM_UNSUPPORTED, bench.unit, "the device runs no kernels");
        link_send(&bench, &skip);
        return ISO_OK;
    }
    iso_status status = link_model_open(&bench.model);
    if (status == ISO_NOT_FOUND) {
        skip = conform_result_make(CONFORM_SKIP, bench.unit, "no golden model: %s", iso_status_last()->text);
        link_send(&bench, &skip);
        return ISO_OK;
    }
    ISO_TRY(status);
    status = open_bench(&bench);
    if (status == ISO_OK)
        status = units[number].run(&bench);
    close_bench(&bench);
    return status;
}

static iso_status run_unit(conform_context *context, const conform_unit *unit)
{
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (strcmp(unit->id + strlen("links/"), units[i].name) == 0)
            return run_numbered(context, i);
    return iso_fail(ISO_NOT_FOUND, "suite links has no unit %s", unit->id);
}

extern const conform_suite conform_suite_links;
const conform_suite conform_suite_links = {"links", "one model over two devices, cut at every op, both ways",
                                           list_units, run_unit};
