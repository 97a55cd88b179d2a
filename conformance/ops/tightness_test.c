// SPDX-License-Identifier: MIT
//
// That the bounds fit: over the cases of every op, under every stress, honest float32 arithmetic in any order
// stays within each bound and somewhere comes near enough to it. Then the test is tested: the same bounds 100
// times as wide, and half as wide, must be found.
//
//     tightness_test [OP]      prints for each op and class of K the worst score of float32 outputs
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/ops/cases.h"
#include "conformance/ops/tightness.h"
#include "conformance/support/tally.h"

#define SEED        1
#define SEEDS       64 // of a case without stress and of less than LITTLE_WORK terms
#define LITTLE_WORK 5000
#define MOST_WORK   200000 // terms of a case that is measured in more than one way

// A device that cuts off, to one side only, and flushes nothing.
static const iso_numerics cutting = {
    .unit = 0x1p-23, .biased = true, .exp_unit = 0x1p-21, .root_unit = 0x1p-23, .bf16_unit = 0x1p-8};

// The worst of an op's cases; NAN where none has been scored.
typedef struct summary {
    double score;
    double by_class[CONFORM_TIGHTNESS_CLASS_COUNT]; // of float32 outputs, without stress
    char worst[160];                                // the case and the order
    uint32_t cases;
} summary;

// ---- the plant: an op whose bounds are as many times wider ----

static const iso_op_info *planted_op;
static double planted_factor;

static iso_status planted_reference(const void *params, const iso_numerics *numerics,
                                    const iso_reference_output *outputs)
{
    const iso_tensor *y = (const iso_tensor *)params + planted_op->input_count;
    ISO_TRY(planted_op->reference(params, numerics, outputs));
    for (uint32_t o = 0; o < planted_op->output_count; o++)
        for (uint64_t i = 0; i < iso_tensor_elems(&y[o]); i++)
            outputs[o].bound[i] *= planted_factor;
    return ISO_OK;
}

// ---- measuring ----

static void raise(double *worst, double score)
{
    if (!isnan(score) && !(score <= *worst))
        *worst = score;
}

static iso_status measure_case(const conform_op_case *wanted, uint64_t seed, double factor,
                               const iso_numerics *numerics, summary *sum)
{
    conform_built built;
    conform_tightness found;
    ISO_TRY(conform_built_init(&built, wanted, seed, false));
    iso_op_info op = *wanted->op;
    planted_op = wanted->op;
    planted_factor = factor;
    op.reference = planted_reference;
    iso_status status = conform_tightness_measure(&op, built.params, numerics, &found);
    conform_built_deinit(&built);
    if (status != ISO_OK)
        return status;
    sum->cases++;
    if (wanted->stress == ISO_STRESS_NORMAL)
        raise(&sum->by_class[conform_tightness_class_of(found.terms)], found.float_score);
    if (!isnan(found.score) && !(found.score <= sum->score)) {
        sum->score = found.score;
        snprintf(sum->worst, sizeof sum->worst, "%s/%u/%s, %s, %s", wanted->triple.name, wanted->number,
                 iso_stress_name(wanted->stress),
                 conform_tightness_class_name(conform_tightness_class_of(found.terms)), found.order);
    }
    return ISO_OK;
}

// With how many seeds a case is measured: every case in every type; under stress each in one pair of types,
// by turns; large ones in the first types only, and without stress.
static uint32_t seeds_of(const conform_op_case *wanted, uint32_t triple, uint32_t triples)
{
    conform_built blank;
    bool stressed = wanted->stress != ISO_STRESS_NORMAL;
    if (stressed && (wanted->number + (uint32_t)wanted->stress) % triples / 2 != triple / 2)
        return 0;
    if (conform_stress_excluded(wanted->op, wanted->stress, &wanted->triple) ||
        conform_built_init(&blank, wanted, SEED, true) != ISO_OK)
        return 0;
    uint64_t work = conform_case_work(wanted->op, blank.params);
    conform_built_deinit(&blank);
    if (work > MOST_WORK && (stressed || triple > 0))
        return 0;
    return work < LITTLE_WORK && !stressed ? SEEDS : 1;
}

// A plant is looked for without stress, in the first and the last types.
static iso_status measure_op(const iso_op_info *op, double factor, const iso_numerics *numerics, summary *sum)
{
    conform_triple triples[CONFORM_MAX_TRIPLES];
    uint32_t count = conform_triples(op, triples);
    int stresses = factor == 1 ? ISO_STRESS_COUNT : ISO_STRESS_NORMAL + 1;
    *sum = (summary){.score = (double)NAN, .by_class = {(double)NAN, (double)NAN, (double)NAN}};
    for (uint32_t t = 0; t < count; t += factor == 1 || t + 1 == count ? 1 : count - 1)
        for (uint32_t c = 0; c < op->case_count; c++)
            for (int stress = 0; stress < stresses; stress++) {
                const conform_op_case wanted = {op, triples[t], c, (iso_stress)stress, NULL};
                for (uint32_t seeds = seeds_of(&wanted, t, count); seeds > 0; seeds--)
                    ISO_TRY(measure_case(&wanted, SEED + seeds - 1, factor, numerics, sum));
            }
    return ISO_OK;
}

// ---- what must hold ----

// Also where only the sums of one class are: BF16's rounding comes near its bound whatever they do, and so do
// sums of equal terms, which have the worst case for a bound.
static bool is_too_loose(const summary *sum, const char **where)
{
    *where = "in every class";
    if (sum->score < CONFORM_TIGHTNESS_LEAST)
        return true;
    for (int i = 0; i < CONFORM_TIGHTNESS_CLASS_COUNT; i++) {
        *where = conform_tightness_class_name((conform_tightness_class)i);
        if (sum->by_class[i] < CONFORM_TIGHTNESS_LEAST)
            return true;
    }
    return false;
}

static bool is_too_narrow(const summary *sum)
{
    return !isnan(sum->score) && !(sum->score <= 1);
}

static void check_op(const iso_op_info *op, tally *counts)
{
    summary sum, cut, loose, narrow;
    const char *where = "";
    if (!tally_call(counts, measure_op(op, 1, &iso_numerics_ieee, &sum), "%s", op->name))
        return;
    tally_check(counts, sum.cases > 0, "%s: no case was measured", op->name);
    if (isnan(sum.score)) {
        printf("%-20s exact in %u cases\n", op->name, sum.cases);
        return;
    }
    printf("%-20s %.3f in %u cases (%s); float32:", op->name, sum.score, sum.cases, sum.worst);
    for (int i = 0; i < CONFORM_TIGHTNESS_CLASS_COUNT; i++)
        if (!isnan(sum.by_class[i]))
            printf("  %s %.4f", conform_tightness_class_name((conform_tightness_class)i), sum.by_class[i]);
    printf("\n");
    bool is_loose = is_too_loose(&sum, &where);
    tally_check(counts, !is_loose, "%s, %s: the bound is too loose: see the scores above; wanted: %g or more",
                op->name, where, CONFORM_TIGHTNESS_LEAST);
    tally_check(counts, !is_too_narrow(&sum),
                "%s: the bound is too narrow: an honest score is %.4f (%s); allowed: 1", op->name, sum.score,
                sum.worst);
    if (tally_call(counts, measure_op(op, 1, &cutting, &cut), "%s", op->name))
        tally_check(
            counts, !is_too_narrow(&cut),
            "%s: the bound is too narrow where a device cuts off: an honest score is %.4f (%s); allowed: 1",
            op->name, cut.score, cut.worst);
    if (tally_call(counts, measure_op(op, 100, &iso_numerics_ieee, &loose), "%s", op->name))
        tally_check(counts, is_too_loose(&loose, &where), "%s: a bound 100 times as wide was not found",
                    op->name);
    if (tally_call(counts, measure_op(op, 0.5, &iso_numerics_ieee, &narrow), "%s", op->name))
        tally_check(counts, is_too_narrow(&narrow), "%s: half the bound was not found (worst score %.3f)",
                    op->name, narrow.score);
}

int main(int argc, char **argv)
{
    tally counts = {0};
    for (uint32_t o = 0; o < iso_ops()->count; o++)
        if (argc < 2 || strcmp(argv[1], iso_ops()->ops[o]->name) == 0)
            check_op(iso_ops()->ops[o], &counts);
    return tally_close(&counts, "tightness");
}
