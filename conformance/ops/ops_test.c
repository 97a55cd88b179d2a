// SPDX-License-Identifier: MIT
//
// Every kernel of every op, on every device that accepts it, over the op's cases, against the
// double-precision reference. Each element is judged by its own bound, NaN fails, outputs are poisoned first
// and inputs must be unchanged after; each case runs twice and must give the same bits.
//
//     ops_test [OP [N]]     prints one line per op and device; N: only the op's first N cases;
//                           ISOMER_TEST_DEVICES narrows the devices
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/support/fleet.h"
#include "isomer/ops.h"
#include "kernels/case.h"
#include "runtime/plan/plan_internal.h"

#define POISON 0x7fc1a5a5u // NaN as F32 and as BF16

typedef struct tally {
    unsigned ran, failed, refused;
    double worst; // largest error / bound
    char reason[ISO_REASON_BYTES];
} tally;

// One case on one device.
typedef struct trial {
    const iso_op_info *op;
    const iso_kernel *kernel;
    iso_device *device;
    uint32_t case_index;
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_buffer *buffers[ISO_MAX_OPERANDS];
    uint32_t operand_count;
} trial;

static uint64_t storage_bytes(const iso_tensor *t)
{
    uint64_t rows = iso_tensor_rows(t);
    uint64_t elems = t->view_offset + (rows ? (rows - 1) * t->row_stride + iso_tensor_width(t) : 0);
    uint64_t bytes = (elems * iso_dtype_bytes(t->dtype) + 3) / 4 * 4;
    return bytes ? bytes : 4;
}

// A host copy with room to the next word.
static void *padded_copy(const iso_tensor *t, uint64_t bytes)
{
    uint8_t *copy = calloc(1, bytes);
    uint64_t elems =
        t->view_offset + (uint64_t)(iso_tensor_rows(t) - 1) * t->row_stride + iso_tensor_width(t);
    memcpy(copy, t->host, elems * iso_dtype_bytes(t->dtype));
    return copy;
}

// In-place cases share one buffer: operands with the same host memory are one.
static iso_status bind(trial *t)
{
    iso_tensor *tensors = (iso_tensor *)t->params;
    for (uint32_t i = 0; i < t->operand_count; i++) {
        if (!iso_tensor_present(&tensors[i]))
            continue;
        uint32_t same = 0;
        while (tensors[same].host != tensors[i].host)
            same++;
        if (same < i) {
            t->buffers[i] = iso_buffer_retain(t->buffers[same]);
        } else {
            uint64_t bytes = storage_bytes(&tensors[i]);
            ISO_TRY(iso_buffer_create(t->device, bytes, &t->buffers[i]));
            void *copy = padded_copy(&tensors[i], bytes);
            iso_status status = i >= t->op->input_count ? iso_buffer_fill(t->buffers[i], 0, bytes, POISON)
                                                        : iso_buffer_write(t->buffers[i], 0, copy, bytes);
            free(copy);
            ISO_TRY(status);
        }
        tensors[i].memory = iso_buffer_memory(t->buffers[i]);
        tensors[i].offset_bytes = 0;
    }
    return ISO_OK;
}

static iso_status run_once(trial *t)
{
    const iso_kernel_code *code = iso_plan_kernel_code(t->kernel, iso_device_get_info(t->device));
    iso_launch launch = {0};
    t->kernel->launch(t->kernel, t->params, &launch);
    iso_module_source source = {.name = t->kernel->name,
                                .entry = code->format == ISO_CODE_SPIRV ? "main" : t->kernel->op,
                                .format = code->format,
                                .code = code->code,
                                .code_bytes = code->code_bytes,
                                .native = code->native,
                                .group_size = t->kernel->group_size,
                                .arg_count = launch.arg_count};
    iso_dispatch dispatch = {.label = t->kernel->name, .arg_count = launch.arg_count};
    memcpy(dispatch.groups, launch.groups, sizeof dispatch.groups);
    for (uint32_t i = 0; i < launch.arg_count; i++) {
        source.arg_kinds[i] = launch.args[i].kind;
        dispatch.args[i] = launch.args[i];
    }
    iso_module *module = NULL;
    iso_list *list = NULL;
    iso_status status = iso_module_create(t->device, &source, &module);
    if (status == ISO_OK)
        status = iso_list_create(t->device, &list);
    if (status == ISO_OK)
        status = iso_list_dispatch(list, module, &dispatch);
    if (status == ISO_OK)
        status = iso_list_finish(list);
    if (status == ISO_OK)
        status = iso_list_submit(list);
    if (status == ISO_OK)
        status = iso_device_wait(t->device);
    iso_list_destroy(list);
    iso_module_destroy(module);
    return status;
}

static void unbind(trial *t)
{
    for (uint32_t i = 0; i < t->operand_count; i++) {
        iso_buffer_release(t->buffers[i]);
        t->buffers[i] = NULL;
    }
}

static int complain(const trial *t, const char *what, double got, double want, double bound)
{
    printf("  FAIL %s on %s, case %u: %s: got %.9g, reference %.9g, bound %.3g\n", t->kernel->name,
           iso_device_name(t->device), t->case_index, what, got, want, bound);
    return 1;
}

// Every element of output `o` against its bound.
static int judge(const trial *t, uint32_t o, const void *data, const iso_reference_output *reference,
                 double *worst)
{
    const iso_tensor *y = (const iso_tensor *)t->params + t->op->input_count + o;
    for (uint32_t r = 0; r < iso_tensor_rows(y); r++) {
        for (uint32_t c = 0; c < iso_tensor_width(y); c++) {
            size_t at = (size_t)r * iso_tensor_width(y) + c;
            double got =
                iso_load_element(data, y->dtype, (size_t)y->view_offset + (size_t)r * y->row_stride + c);
            double want = reference->value[at], bound = reference->bound[at];
            if (isnan(want) && isnan(got))
                continue;
            double error = want == got ? 0.0 : fabs(got - want);
            if (!(error <= bound)) {
                char what[96];
                snprintf(what, sizeof what, "output %u [%u, %u]", o, r, c);
                return complain(t, what, got, want, bound);
            }
            if (bound > 0 && error / bound > *worst)
                *worst = error / bound;
        }
    }
    return 0;
}

// Inputs that are not also outputs must be as they were.
static int inputs_unchanged(const trial *t)
{
    const iso_tensor *tensors = (const iso_tensor *)t->params;
    for (uint32_t i = 0; i < t->op->input_count; i++) {
        bool in_place = false;
        for (uint32_t o = t->op->input_count; o < t->operand_count; o++)
            in_place = in_place || tensors[o].host == tensors[i].host;
        if (!t->buffers[i] || in_place)
            continue;
        uint64_t bytes = storage_bytes(&tensors[i]);
        uint8_t *now = malloc(bytes);
        void *before = padded_copy(&tensors[i], bytes);
        int changed =
            iso_buffer_read(t->buffers[i], 0, now, bytes) != ISO_OK || memcmp(now, before, bytes) != 0;
        free(now);
        free(before);
        if (changed)
            return complain(t, "an input was changed, operand number", i, 0, 0);
    }
    return 0;
}

// Runs twice from fresh buffers; judges the first run and compares the second with it bit by bit.
static int run_trial(trial *t, const iso_reference_output *references, double *worst)
{
    uint8_t *outputs[2][ISO_MAX_OPERANDS] = {{0}};
    int failed = 0;
    for (int round = 0; round < 2 && !failed; round++) {
        if (bind(t) != ISO_OK || run_once(t) != ISO_OK) {
            printf("  FAIL %s on %s, case %u: %s\n", t->kernel->name, iso_device_name(t->device),
                   t->case_index, iso_status_last()->text);
            failed = 1;
        }
        for (uint32_t o = 0; o < t->op->output_count && !failed; o++) {
            const iso_tensor *y = (const iso_tensor *)t->params + t->op->input_count + o;
            uint64_t bytes = storage_bytes(y);
            outputs[round][o] = malloc(bytes);
            if (iso_buffer_read(t->buffers[t->op->input_count + o], 0, outputs[round][o], bytes) != ISO_OK)
                failed = complain(t, iso_status_last()->text, 0, 0, 0);
            else if (round == 0)
                failed = judge(t, o, outputs[0][o], &references[o], worst);
            else if (memcmp(outputs[0][o], outputs[1][o], bytes) != 0)
                failed = complain(t, "the second run gave other bits, output", o, 0, 0);
        }
        if (!failed)
            failed = inputs_unchanged(t);
        unbind(t);
    }
    for (uint32_t o = 0; o < ISO_MAX_OPERANDS; o++) {
        free(outputs[0][o]);
        free(outputs[1][o]);
    }
    return failed;
}

static void make_references(const trial *t, iso_reference_output *references)
{
    const iso_tensor *outputs = (const iso_tensor *)t->params + t->op->input_count;
    for (uint32_t o = 0; o < t->op->output_count; o++) {
        size_t elems = iso_tensor_elems(&outputs[o]);
        references[o].value = calloc(elems ? elems : 1, sizeof(double));
        references[o].bound = calloc(elems ? elems : 1, sizeof(double));
    }
}

// The dtype triples that the op's portable kernels are compiled for; CPU kernels run them all.
static uint32_t collect_dtypes(const iso_op_info *op, iso_dtype triples[][3])
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < op->kernel_count; k++)
        if (op->kernels[k]->codes[0].format != ISO_CODE_NATIVE)
            memcpy(triples[count++], op->kernels[k]->dtypes, sizeof triples[0]);
    return count;
}

// Every kernel that accepts the case on the device. Honest refusals are counted; a case that no kernel takes
// fails.
static void run_kernels(trial *t, const iso_reference_output *references, tally *sum)
{
    unsigned accepted = 0;
    for (uint32_t k = 0; k < t->op->kernel_count; k++) {
        char reason[ISO_REASON_BYTES] = "";
        t->kernel = t->op->kernels[k];
        if (!iso_plan_kernel_fits(t->kernel, t->params, iso_device_get_info(t->device), reason)) {
            if (reason[0] == 0)
                sum->failed += (unsigned)complain(t, "refused without a reason", 0, 0, 0);
            memcpy(sum->reason, reason, sizeof reason);
            continue;
        }
        accepted++;
        sum->ran++;
        sum->failed += (unsigned)run_trial(t, references, &sum->worst);
    }
    sum->refused += accepted == 0;
}

static void run_case(const iso_op_info *op, const fleet *fleet, const iso_dtype dtypes[3], uint32_t c,
                     tally *sums)
{
    trial t = {.op = op, .case_index = c, .operand_count = op->input_count + op->output_count};
    iso_case_builder builder = {.seed = 1 + c};
    memcpy(builder.dtypes, dtypes, sizeof builder.dtypes);
    iso_reference_output references[ISO_MAX_OPERANDS] = {{0}};
    iso_status status = op->build_case(op->cases[c], &builder, t.params);
    if (status == ISO_OK)
        status = op->check(t.params);
    if (status == ISO_OK) {
        make_references(&t, references);
        status = op->reference(t.params, references);
    }
    for (uint32_t d = 0; d < fleet->count; d++) {
        t.device = fleet->devices[d];
        if (status == ISO_OK) {
            run_kernels(&t, references, &sums[d]);
            continue;
        }
        printf("  FAIL %s, case %u with %s, %s, %s: %s\n", op->name, c, iso_dtype_name(dtypes[0]),
               iso_dtype_name(dtypes[1]), iso_dtype_name(dtypes[2]), iso_status_last()->text);
        sums[d].failed++;
    }
    for (uint32_t o = 0; o < ISO_MAX_OPERANDS; o++) {
        free(references[o].value);
        free(references[o].bound);
    }
    iso_case_end(&builder);
}

int main(int argc, char **argv)
{
    fleet fleet;
    if (fleet_open(&fleet))
        return 1;
    unsigned passed = 0, failed = 0, skipped = 0;
    uint32_t most = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : UINT32_MAX;
    for (uint32_t o = 0; o < iso_ops()->count; o++) {
        const iso_op_info *op = iso_ops()->ops[o];
        if (argc > 1 && strcmp(argv[1], op->name) != 0)
            continue;
        if (op->kernel_count == 0) {
            printf("%-20s has a reference and no kernel yet\n", op->name);
            skipped++;
            continue;
        }
        iso_dtype triples[64][3];
        tally sums[FLEET_MAX_DEVICES] = {{0}};
        uint32_t count = collect_dtypes(op, triples);
        for (uint32_t d = 0; d < count; d++)
            for (uint32_t c = 0; c < op->case_count && c < most; c++)
                run_case(op, &fleet, triples[d], c, sums);
        for (uint32_t d = 0; d < fleet.count; d++) {
            printf("%-20s %-10s %4u runs, %u failed, %u cases refused, worst error/bound %.3f%s%s\n",
                   op->name, iso_device_name(fleet.devices[d]), sums[d].ran, sums[d].failed, sums[d].refused,
                   sums[d].worst, sums[d].refused ? ": " : "", sums[d].refused ? sums[d].reason : "");
            bool ok = sums[d].failed == 0 && sums[d].ran > 0;
            passed += ok;
            failed += !ok;
            skipped += sums[d].refused;
        }
    }
    fleet_close(&fleet);
    printf("ops: %u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed || passed + skipped == 0;
}
