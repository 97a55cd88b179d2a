// SPDX-License-Identifier: MIT
//
// Which cases there are, and how one is built (cases.h).
#include "conformance/ops/cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- stresses ----

#define BIT(name) (1u << ISO_STRESS_##name)
#define ALL_BITS  ((1u << ISO_STRESS_COUNT) - 1)

// What an op is not tried with, and why. Ops without a line take every stress.
typedef struct exclusion {
    const char *op;
    uint32_t stresses;
    uint32_t spread; // of SCALES where it is not excluded; 0: as wide as the type allows
    const char *reason;
} exclusion;

static const exclusion exclusions[] = {
    {"add", BIT(INFINITE), 0, "its contract does not say what becomes of infinities"},
    {"argmax", BIT(DENORMAL), 0, "a device may take subnormals for 0, which makes ties of them"},
    {"gqa_attention", BIT(INFINITE), 3, "its contract does not say what becomes of infinities"},
    {"mla_attention", BIT(INFINITE), 3, "its contract does not say what becomes of infinities"},
    {"permute", ALL_BITS & ~BIT(NORMAL), 0, "it has no floats"},
    {"rope", BIT(INFINITE), 0, "its contract does not say what becomes of infinities"},
    {"router", ALL_BITS & ~(BIT(NORMAL) | BIT(TIES) | BIT(SCALES)), 0,
     "its logits come in steps, so that float32 decides every choice alike"},
    {"unpermute", BIT(INFINITE), 0, "its contract does not say what becomes of infinities"},
};

static const exclusion *exclusion_of(const iso_op_info *op)
{
    for (size_t i = 0; i < sizeof exclusions / sizeof exclusions[0]; i++)
        if (strcmp(exclusions[i].op, op->name) == 0)
            return &exclusions[i];
    return NULL;
}

const char *conform_stress_excluded(const iso_op_info *op, iso_stress stress, const conform_triple *triple)
{
    const exclusion *line = exclusion_of(op);
    if (line && line->stresses >> stress & 1)
        return line->reason;
    if (stress == ISO_STRESS_INFINITE && triple->dtypes[0] == ISO_DTYPE_F8_E4M3)
        return "E4M3 has no infinity";
    return NULL;
}

// Sums of products of small integers with scales that are powers of two: any order gives the same float32.
static bool is_exact_op(const iso_op_info *op)
{
    static const char *const names[] = {"add", "linear", "grouped_linear", "head_linear", "unpermute"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], op->name) == 0)
            return true;
    return false;
}

// ---- names ----

iso_status conform_kernels_fit(const iso_op_info *op)
{
    return op->kernel_count <= CONFORM_MAX_KERNELS
               ? ISO_OK
               : iso_fail(ISO_INTERNAL, "op %s has %u kernels; the suite has room for %d", op->name,
                          op->kernel_count, CONFORM_MAX_KERNELS);
}

static bool is_listed(const conform_triple *triples, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(triples[i].name, name) == 0)
            return true;
    return false;
}

// The portable kernels' first: they are the same in every program, whichever tuned ones it was built with.
uint32_t conform_triples(const iso_op_info *op, conform_triple out[CONFORM_MAX_TRIPLES])
{
    uint32_t count = 0;
    for (int tuned = 0; tuned < 2; tuned++)
        for (uint32_t k = 0; k < op->kernel_count && count < CONFORM_MAX_TRIPLES; k++) {
            const iso_kernel *kernel = op->kernels[k];
            const char *types = strrchr(kernel->name, '.') + 1;
            if (kernel->codes[0].format != ISO_CODE_NATIVE && (kernel->backend != NULL) == tuned &&
                !is_listed(out, count, types))
                out[count++] = (conform_triple){kernel->dtypes, types};
        }
    return count;
}

// Takes the id's next part, up to a slash or the end, into `part`.
static const char *next_part(const char *id, char *part, size_t part_bytes)
{
    size_t length = strcspn(id, "/");
    snprintf(part, part_bytes, "%.*s", (int)(length < part_bytes ? length : part_bytes - 1), id);
    return id + length + (id[length] == '/');
}

static const iso_op_info *find_op(const char *name)
{
    for (uint32_t o = 0; o < iso_ops()->count; o++)
        if (strcmp(iso_ops()->ops[o]->name, name) == 0)
            return iso_ops()->ops[o];
    return NULL;
}

iso_status conform_parse_case(const char *id, conform_op_case *out_case)
{
    char op[32], triple[48], number[16], stress[16];
    const char *rest = next_part(id, op, sizeof op);
    rest = next_part(rest, triple, sizeof triple);
    rest = next_part(rest, number, sizeof number);
    next_part(rest, stress, sizeof stress);
    *out_case = (conform_op_case){.op = find_op(op), .stress = ISO_STRESS_COUNT};
    if (!out_case->op)
        return iso_fail(ISO_NOT_FOUND, "case %s: there is no op %s", id, op);
    conform_triple triples[CONFORM_MAX_TRIPLES];
    uint32_t count = conform_triples(out_case->op, triples);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(triples[i].name, triple) == 0)
            out_case->triple = triples[i];
    if (!out_case->triple.name)
        return iso_fail(ISO_NOT_FOUND, "case %s: op %s has no kernel for %s", id, op, triple);
    char *end;
    unsigned long at = strtoul(number, &end, 10);
    if (number[0] == 0 || *end || at >= out_case->op->case_count)
        return iso_fail(ISO_NOT_FOUND, "case %s: op %s has cases 0 to %u, not %s", id, op,
                        out_case->op->case_count - 1, number);
    out_case->number = (uint32_t)at;
    for (int i = 0; i < ISO_STRESS_COUNT; i++)
        if (strcmp(iso_stress_name((iso_stress)i), stress) == 0)
            out_case->stress = (iso_stress)i;
    if (out_case->stress == ISO_STRESS_COUNT)
        return iso_fail(ISO_NOT_FOUND, "case %s: there is no stress %s", id, stress);
    return ISO_OK;
}

// ---- building ----

#define NEAREST_BF16 0x1p-8

iso_status conform_built_init(conform_built *built, const conform_op_case *wanted, uint64_t seed, bool blank)
{
    const exclusion *line = exclusion_of(wanted->op);
    *built = (conform_built){.builder = {.seed = seed + wanted->number,
                                         .stress = wanted->stress,
                                         .spread = line ? line->spread : 0,
                                         .blank = blank}};
    memcpy(built->builder.dtypes, wanted->triple.dtypes, sizeof built->builder.dtypes);
    const uint32_t *numbers = wanted->numbers ? wanted->numbers : wanted->op->cases[wanted->number];
    iso_status status = wanted->op->build_case(numbers, &built->builder, built->params);
    if (status == ISO_OK)
        status = wanted->op->check(built->params);
    if (status != ISO_OK)
        conform_built_deinit(built);
    return status;
}

iso_status conform_expected_init(const iso_op_info *op, const void *params,
                                 iso_reference_output out[ISO_MAX_OPERANDS])
{
    const iso_tensor *outputs = (const iso_tensor *)params + op->input_count;
    for (uint32_t o = 0; o < op->output_count; o++) {
        size_t elems = iso_tensor_elems(&outputs[o]);
        ISO_TRY(ISO_NEW(NULL, elems ? elems : 1, &out[o].value));
        ISO_TRY(ISO_NEW(NULL, elems ? elems : 1, &out[o].bound));
    }
    return ISO_OK;
}

void conform_expected_deinit(iso_reference_output expected[ISO_MAX_OPERANDS])
{
    for (uint32_t o = 0; o < ISO_MAX_OPERANDS; o++) {
        iso_free(NULL, expected[o].value);
        iso_free(NULL, expected[o].bound);
        expected[o] = (iso_reference_output){0};
    }
}

// Storing a float32 in BF16 is one conversion and nothing else: where the device's is to nearest, only the
// nearest value is right. In the middle between two, the bound stays.
static void demand_nearest(const conform_built *built, const conform_op_case *wanted,
                           const iso_numerics *numerics, iso_reference_output *expected)
{
    const iso_tensor *outputs = (const iso_tensor *)built->params + wanted->op->input_count;
    if (strcmp(wanted->op->name, "gather") != 0 || outputs[0].dtype != ISO_DTYPE_BF16 ||
        numerics->bf16_unit > NEAREST_BF16)
        return;
    for (uint64_t i = 0; i < iso_tensor_elems(&outputs[0]); i++) {
        uint16_t bits;
        double exact = expected[0].value[i], magnitude = fabs(exact);
        iso_store_element(&bits, ISO_DTYPE_BF16, 0, exact);
        double nearest = iso_load_element(&bits, ISO_DTYPE_BF16, 0);
        double middle = ldexp(1.0, ilogb(magnitude > 0 ? magnitude : 1.0) - 8);
        if (!isfinite(nearest) || fabs(exact - nearest) >= middle || magnitude < 0x1p-126)
            continue;
        expected[0].value[i] = nearest;
        expected[0].bound[i] = 0;
    }
}

// Where a sum is exact by construction and fits its type, nothing but it is right. A device whose sums keep
// fewer bits than float32 has is held to its bound instead.
static void demand_equality(const conform_built *built, const conform_op_case *wanted,
                            const iso_numerics *numerics, iso_reference_output *expected)
{
    const iso_tensor *outputs = (const iso_tensor *)built->params + wanted->op->input_count;
    if (wanted->stress != ISO_STRESS_INTEGER || !is_exact_op(wanted->op) || numerics->unit > 0x1.1p-23 ||
        numerics->matrix_unit > 0x1.1p-23)
        return;
    for (uint64_t i = 0; i < iso_tensor_elems(&outputs[0]); i++) {
        uint32_t word;
        iso_store_element(&word, outputs[0].dtype, 0, expected[0].value[i]);
        if (iso_load_element(&word, outputs[0].dtype, 0) == expected[0].value[i])
            expected[0].bound[i] = 0;
    }
}

// `expected` is empty before.
static iso_status refer(const conform_built *built, const conform_op_case *wanted,
                        const iso_numerics *numerics, iso_reference_output *expected)
{
    ISO_TRY(conform_expected_init(wanted->op, built->params, expected));
    ISO_TRY(wanted->op->reference(built->params, numerics, expected));
    demand_equality(built, wanted, numerics, expected);
    demand_nearest(built, wanted, numerics, expected);
    return ISO_OK;
}

iso_status conform_built_refer(conform_built *built, const conform_op_case *wanted,
                               const iso_numerics *numerics)
{
    return refer(built, wanted, numerics, built->expected);
}

iso_status conform_kernel_expected_init(const conform_built *built, const conform_op_case *wanted,
                                        const iso_kernel *kernel, const iso_numerics *device,
                                        conform_kernel_expected *out)
{
    const iso_numerics numerics = iso_kernel_numerics(kernel, device);
    *out = (conform_kernel_expected){.outputs = built->expected};
    if (numerics.matrix_unit == 0)
        return ISO_OK;
    out->outputs = out->own;
    iso_status status = refer(built, wanted, &numerics, out->own);
    if (status != ISO_OK)
        conform_kernel_expected_deinit(out);
    return status;
}

void conform_kernel_expected_deinit(conform_kernel_expected *expectation)
{
    conform_expected_deinit(expectation->own);
    expectation->outputs = NULL;
}

void conform_built_deinit(conform_built *built)
{
    conform_expected_deinit(built->expected);
    iso_case_end(&built->builder);
}

uint64_t conform_case_work(const iso_op_info *op, const void *params)
{
    iso_op_cost cost = {0};
    op->cost(params, &cost);
    return cost.flops / 2 + cost.read_bytes + cost.written_bytes;
}
