// SPDX-License-Identifier: MIT
//
// The op suite: its units and which level runs them. Every kernel of every op over the op's cases, in all
// types, under all stresses, against the double-precision reference; what kernels say of themselves; what no
// case reaches.
#include <stdio.h>
#include <string.h>

#include "conformance/ops/units.h"

// Work (terms of the reference and bytes) up to which a case belongs to a level: about 5 ns each on one core.
#define QUICK_WORK    UINT64_C(600000)
#define STRESS_WORK   UINT64_C(150000) // of quick cases beyond the plain stress
#define STANDARD_WORK UINT64_C(60000000)
#define HONESTY_WORK  UINT64_C(60000)

// Of a cheap case's stresses, the quick level runs the plain one and about a quarter of the others, another
// quarter for each case and triple, so that together they have met everything.
static bool is_quick(uint64_t work, uint32_t number, uint32_t triple, uint32_t stress)
{
    if (stress == ISO_STRESS_NORMAL)
        return work <= QUICK_WORK;
    return work <= STRESS_WORK && (number + 3 * triple + stress) % 4 == 0;
}

static iso_status list_stresses(conform_unit_list *list, const conform_op_case *wanted, uint32_t triple,
                                uint64_t work)
{
    for (uint32_t s = 0; s < ISO_STRESS_COUNT; s++) {
        if (conform_stress_excluded(wanted->op, (iso_stress)s, &wanted->triple))
            continue;
        conform_level level = work > STANDARD_WORK                        ? CONFORM_EXHAUSTIVE
                              : is_quick(work, wanted->number, triple, s) ? CONFORM_QUICK
                                                                          : CONFORM_STANDARD;
        // Large cases are about shapes: beyond the plain stress they have nothing to add but time.
        if (work > QUICK_WORK && s != ISO_STRESS_NORMAL && level == CONFORM_STANDARD)
            level = CONFORM_EXHAUSTIVE;
        ISO_TRY(conform_add_unit(list, "ops", level, work > STANDARD_WORK ? 600 : 0, "%s/%s/%u/%s",
                                 wanted->op->name, wanted->triple.name, wanted->number,
                                 iso_stress_name((iso_stress)s)));
    }
    return ISO_OK;
}

static iso_status case_work(const conform_op_case *wanted, uint64_t *out_work)
{
    conform_built built;
    ISO_TRY(conform_built_init(&built, wanted, 1, true));
    *out_work = conform_case_work(wanted->op, built.params);
    conform_built_deinit(&built);
    return ISO_OK;
}

static iso_status list_op(conform_unit_list *list, const iso_op_info *op, bool honesty)
{
    conform_triple triples[CONFORM_MAX_TRIPLES];
    uint32_t count = conform_triples(op, triples);
    for (uint32_t t = 0; t < count; t++) {
        uint32_t quick = 0;
        for (uint32_t c = 0; c < op->case_count; c++) {
            uint64_t work;
            const conform_op_case wanted = {op, triples[t], c, ISO_STRESS_NORMAL, NULL};
            ISO_TRY(case_work(&wanted, &work));
            if (!honesty)
                ISO_TRY(list_stresses(list, &wanted, t, work));
            else if (work <= HONESTY_WORK) // one small case of each triple is quick, another one each time
                ISO_TRY(conform_add_unit(list, "ops", quick++ == t % 3 ? CONFORM_QUICK : CONFORM_STANDARD, 0,
                                         "honesty/%s/%s/%u", op->name, triples[t].name, c));
        }
    }
    return ISO_OK;
}

static iso_status list_units(conform_unit_list *list, const iso_device_info *device)
{
    (void)device;
    for (int honesty = 0; honesty < 2; honesty++)
        for (uint32_t o = 0; o < iso_ops()->count; o++)
            ISO_TRY(list_op(list, iso_ops()->ops[o], honesty));
    ISO_TRY(conform_add_unit(list, "ops", CONFORM_STANDARD, 180, "others"));
    return conform_add_unit(list, "ops", CONFORM_QUICK, 0, "coverage");
}

static iso_status run_unit(conform_context *context, const conform_unit *unit)
{
    static const char honesty[] = "honesty/";
    const char *id = strchr(unit->id, '/') + 1;
    char plain[CONFORM_UNIT_BYTES + 16];
    conform_op_case wanted;
    if (strcmp(id, "coverage") == 0)
        return conform_unit_coverage(context);
    if (strcmp(id, "others") == 0)
        return conform_unit_others(context);
    bool is_honesty = strncmp(id, honesty, sizeof honesty - 1) == 0;
    if (is_honesty)
        snprintf(plain, sizeof plain, "%s/normal", id + sizeof honesty - 1);
    ISO_TRY(conform_parse_case(is_honesty ? plain : id, &wanted));
    return is_honesty ? conform_unit_honesty(context, &wanted, unit->id)
                      : conform_unit_case(context, &wanted, unit->id);
}

extern const conform_suite conform_suite_ops;
const conform_suite conform_suite_ops = {
    "ops", "every kernel of every op against double-precision references, element by element", list_units,
    run_unit};
