// SPDX-License-Identifier: MIT
//
// The profile suite: which measurements there are at which level, what follows from them for the error bounds
// (iso_numerics), and the report of it all. A device without probes (null) says why not.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conformance/profile/measure.h"

typedef iso_status (*measurement)(measure_bench *bench);

static iso_status measure_summary(measure_bench *bench);

// Each is a unit of its own; the dense ones repeat a quick one with more samples, drawn anew.
static const struct {
    const char *name;
    conform_level level;
    uint32_t samples;
    measurement measure;
    bool (*fits)(const iso_device_info *device); // NULL: any device
} units[] = {
    {"facts", CONFORM_QUICK, 0, measure_facts, NULL},
    {"integers", CONFORM_QUICK, 2048, measure_integers, NULL},
    {"arithmetic", CONFORM_QUICK, 4096, measure_arithmetic, NULL},
    {"subnormals", CONFORM_QUICK, 0, measure_subnormals, NULL},
    {"specials", CONFORM_QUICK, 0, measure_specials, NULL},
    {"functions", CONFORM_QUICK, 4096, measure_functions, NULL},
    {"sums", CONFORM_QUICK, 1024, measure_sums, NULL},
    {"formats", CONFORM_QUICK, 4096, measure_formats, NULL},
    {"fp8", CONFORM_QUICK, 4096, measure_fp8, NULL},
    {"matrix", CONFORM_QUICK, 0, measure_matrix, measure_matrix_fits},
    {"summary", CONFORM_QUICK, 0, measure_summary, NULL},
    {"integers-dense", CONFORM_STANDARD, 1u << 16, measure_integers, NULL},
    {"arithmetic-dense", CONFORM_STANDARD, 1u << 18, measure_arithmetic, NULL},
    {"functions-dense", CONFORM_STANDARD, 1u << 18, measure_functions, NULL},
    {"sums-dense", CONFORM_STANDARD, 1u << 14, measure_sums, NULL},
    {"formats-dense", CONFORM_STANDARD, 1u << 18, measure_formats, NULL},
    {"functions-all", CONFORM_EXHAUSTIVE, 1u << 24, measure_functions, NULL},
    {"arithmetic-all", CONFORM_EXHAUSTIVE, 1u << 24, measure_arithmetic, NULL},
};

#define UNIT_COUNT (sizeof units / sizeof units[0])

// Of the device that this process profiled last; contexts point here.
static conform_device_profile latest;

// ---- names ----

const char *conform_fp8_name(conform_fp8 fp8)
{
    static const char *const names[] = {"unknown", "OCP E4M3", "FNUZ E4M3", "none", "wrong"};
    return (unsigned)fp8 < sizeof names / sizeof names[0] ? names[fp8] : "unknown";
}

const char *conform_contraction_name(conform_contraction contraction)
{
    static const char *const names[] = {"unknown", "never", "always", "sometimes"};
    return (unsigned)contraction < sizeof names / sizeof names[0] ? names[contraction] : "unknown";
}

// ---- reporting ----

void measure_send(measure_bench *bench, const conform_result *result)
{
    if (bench->context->report)
        bench->context->report(bench->context, result);
    else
        json_decref(result->more);
}

iso_status measure_fail(measure_bench *bench, const char *check)
{
    iso_status status = iso_status_last()->code;
    conform_result result = conform_result_make(CONFORM_FAIL, check, "%s", iso_status_last()->text);
    measure_send(bench, &result);
    return status == ISO_DEVICE_LOST ? ISO_UNAVAILABLE : ISO_OK;
}

void measure_keep(measure_worst *worst, double error, const double operands[2], double got, double want)
{
    if (error <= worst->error)
        return;
    *worst = (measure_worst){isnan(error) ? (double)INFINITY : error, operands[0], operands[1], got, want};
}

void measure_raise(double *figure, const measure_worst *worst)
{
    *figure = fmax(*figure, fmin(worst->error, 1e30));
}

void measure_judge(measure_bench *bench, const char *check, const measure_worst *worst, double cap,
                   json_t *more)
{
    conform_result result;
    if (worst->error <= cap)
        result = conform_result_make(CONFORM_PASS, check, "error %.3g, allowed %.3g", worst->error, cap);
    else
        result = conform_result_make(CONFORM_FAIL, check,
                                     "of %.9g and %.9g: %.9g, exact %.9g, error %.3g; allowed: %.3g",
                                     worst->a, worst->b, worst->got, worst->want, worst->error, cap);
    result.score = worst->error / cap;
    result.more = more;
    measure_send(bench, &result);
}

// ---- what follows for the bounds ----

static double within(double measured, double least, double cap)
{
    double value = measured > least ? measured : least;
    return value < cap ? value : cap;
}

static void derive_numerics(const conform_device_profile *p, iso_numerics *out)
{
    const iso_numerics *ieee = &iso_numerics_ieee;
    // A chip that cuts off shows it in some operation; the samples need not have met its worst case.
    bool cuts = p->biased || p->sum_cuts;
    double unit =
        fmax(p->add_error, p->multiply_error) > ieee->unit * 1.0001 || cuts ? CONFORM_CAP_UNIT : ieee->unit;
    double root = fmax(fmax(p->divide_error, p->sqrt_error), p->rsqrt_error / 2);
    out->unit = within(unit, ieee->unit, CONFORM_CAP_UNIT);
    out->biased = cuts;
    out->flush = ieee->flush;
    out->exp_unit = within(p->exp_error, ieee->exp_unit, CONFORM_CAP_EXP);
    out->root_unit = within(root, ieee->root_unit, CONFORM_CAP_ROOT);
    out->bf16_unit = ieee->bf16_unit;
    out->matrix_units[ISO_MATRIX_BF16] = fmin(p->matrix[ISO_MATRIX_BF16].unit, CONFORM_CAP_MATRIX_BF16);
    out->matrix_units[ISO_MATRIX_E4M3] = fmin(p->matrix[ISO_MATRIX_E4M3].unit, CONFORM_CAP_MATRIX_E4M3);
}

static json_t *describe_matrix(const conform_matrix_profile *p)
{
    return p->measured
               ? json_pack("{s:f, s:f, s:b, s:i, s:i, s:i, s:i}", "unit", p->unit, "error", p->error, "cuts",
                           p->cuts, "product_bits", (int)p->product_bits, "sum_bits", (int)p->sum_bits,
                           "result_bits", (int)p->result_bits, "block", (int)p->block)
               : json_null();
}

static json_t *describe(const conform_device_profile *p, const iso_numerics *n)
{
    return json_pack(
        "{s:s, s:s, s:b, s:b, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:b, s:s, s:b, s:b, s:i,"
        " s:{s:f, s:b, s:f, s:f, s:f, s:f, s:f, s:f}, s:o, s:o}",
        "contracts", conform_contraction_name(p->contracts), "sums_contract",
        conform_contraction_name(p->sums_contract), "flushes_operands", p->flushes_operands,
        "flushes_results", p->flushes_results, "biased", p->biased, "add_error", p->add_error,
        "multiply_error", p->multiply_error, "divide_error", p->divide_error, "sqrt_error", p->sqrt_error,
        "rsqrt_error", p->rsqrt_error, "exp_error", p->exp_error, "turn_error", p->turn_error, "sum_bits",
        (int)p->sum_bits, "sum_cuts", p->sum_cuts, "fp8", conform_fp8_name(p->fp8), "bf16", p->bf16, "f16",
        p->f16, "subgroup_size", (int)p->subgroup_size, "numerics", "unit", n->unit, "biased", n->biased,
        "flush", n->flush, "exp_unit", n->exp_unit, "root_unit", n->root_unit, "bf16_unit", n->bf16_unit,
        "matrix_bf16_unit", n->matrix_units[ISO_MATRIX_BF16], "matrix_e4m3_unit",
        n->matrix_units[ISO_MATRIX_E4M3], "matrix_bf16", describe_matrix(&p->matrix[ISO_MATRIX_BF16]),
        "matrix_e4m3", describe_matrix(&p->matrix[ISO_MATRIX_E4M3]));
}

// The whole profile, for the report: after all that is quick.
static iso_status measure_summary(measure_bench *bench)
{
    const iso_numerics *n = &bench->context->numerics;
    conform_result result = conform_result_make(
        CONFORM_PASS, "bounds",
        "unit %.3g%s, exp %.3g, root %.3g, bf16 %.3g, matrix sums of bf16 %.3g, e4m3 %.3g", n->unit,
        n->biased ? " to one side" : "", n->exp_unit, n->root_unit, n->bf16_unit,
        n->matrix_units[ISO_MATRIX_BF16], n->matrix_units[ISO_MATRIX_E4M3]);
    result.more = json_pack("{s:o}", "profile", describe(bench->profile, n));
    measure_send(bench, &result);
    return ISO_OK;
}

// ---- the suite ----

static bool runs_probes(const iso_device_info *info, iso_module_source *out_source)
{
    return conform_probe_source(info, CONFORM_PROBE_FLOAT, out_source) == ISO_OK;
}

static iso_status list_units(conform_unit_list *list, const iso_device_info *device)
{
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (!device || !units[i].fits || units[i].fits(device))
            ISO_TRY(conform_add_unit(list, "profile", units[i].level,
                                     units[i].level == CONFORM_EXHAUSTIVE ? 1800 : 120, "%s", units[i].name));
    return ISO_OK;
}

static iso_status run_numbered(conform_context *context, size_t number)
{
    iso_module_source source;
    const char *name = iso_device_name(context->device);
    if (strcmp(latest.device, name) != 0 || context->profile != &latest) {
        latest =
            (conform_device_profile){.subgroup_size = iso_device_get_info(context->device)->subgroup_size};
        snprintf(latest.device, sizeof latest.device, "%s", name);
        context->profile = &latest;
        context->numerics = iso_numerics_ieee;
    }
    measure_bench bench = {.context = context,
                           .lab = {.device = context->device},
                           .profile = &latest,
                           .samples = units[number].samples,
                           .stream = 1000 * (uint64_t)number};
    if (!runs_probes(iso_device_get_info(context->device), &source)) {
        conform_result result =
            conform_result_make(CONFORM_UNSUPPORTED, units[number].name, "%s", iso_status_last()->text);
        measure_send(&bench, &result);
        return ISO_OK;
    }
    iso_status status = units[number].measure(&bench);
    conform_lab_deinit(&bench.lab);
    derive_numerics(&latest, &context->numerics);
    return status;
}

static iso_status run_unit(conform_context *context, const conform_unit *unit)
{
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (strcmp(unit->id + strlen("profile/"), units[i].name) == 0)
            return run_numbered(context, i);
    return iso_fail(ISO_NOT_FOUND, "suite profile has no unit %s", unit->id);
}

iso_status conform_profile_measure(conform_context *context)
{
    conform_context quiet = *context;
    quiet.report = NULL;
    iso_status status = ISO_OK;
    const iso_device_info *device = iso_device_get_info(context->device);
    for (size_t i = 0; i < UNIT_COUNT && status == ISO_OK; i++)
        if (units[i].level == CONFORM_QUICK && (!units[i].fits || units[i].fits(device)))
            status = run_numbered(&quiet, i);
    context->numerics = quiet.numerics;
    context->profile = quiet.profile;
    return status;
}

extern const conform_suite conform_suite_profile;
const conform_suite conform_suite_profile = {"profile", "how the device rounds, and what it declares",
                                             list_units, run_unit};
