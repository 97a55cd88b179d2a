// SPDX-License-Identifier: MIT
//
// One kernel over one call on one device (trial.h).
#include "conformance/ops/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "conformance/ops/guarded.h"
#include "conformance/ops/judge.h"
#include "runtime/base/strings.h"
#include "runtime/plan/plan_internal.h"

iso_status conform_list_create(iso_device *device, const iso_program *program, const void *params,
                               const iso_arg *scratch, iso_list **out_list)
{
    ISO_TRY(iso_list_create(device, out_list));
    ISO_TRY(iso_program_record(program, params, scratch, *out_list));
    return iso_list_finish(*out_list);
}

uint64_t conform_input_hash(const iso_op_info *op, const void *params)
{
    const iso_tensor *tensors = params;
    const size_t operands = op->input_count + op->output_count, start = operands * sizeof(iso_tensor);
    uint64_t hash = XXH3_64bits((const uint8_t *)params + start, op->params_bytes - start);
    for (uint32_t i = 0; i < operands; i++) {
        const iso_tensor *t = &tensors[i];
        const uint32_t shape[] = {(uint32_t)t->dtype, t->rank,    t->dims[0],    t->dims[1],
                                  t->dims[2],         t->dims[3], t->row_stride, t->view_offset};
        hash = XXH3_64bits_withSeed(shape, sizeof shape, hash);
        size_t element = iso_dtype_bytes(t->dtype);
        for (uint32_t r = 0; i < op->input_count && r < iso_tensor_rows(t); r++)
            hash = XXH3_64bits_withSeed((const uint8_t *)t->host +
                                            ((size_t)t->view_offset + (size_t)r * t->row_stride) * element,
                                        iso_tensor_width(t) * element, hash);
    }
    return hash;
}

// ---- a trial under way ----

// Of a thorough trial over few elements: the list is submitted this often, each time over fresh contents.
enum { REPLAYS = 9, SMALL_ELEMS = 4096 };

typedef struct trial_run {
    const conform_trial *trial;
    conform_result *result;
    guarded buffers;
    iso_program program;
    iso_program other;   // of another kernel, made before
    iso_buffer *scratch; // between the launches; NULL where there is one
    iso_list *list;
    void *packed[2][ISO_MAX_OPERANDS]; // the outputs of both rounds
} trial_run;

static void fail(conform_result *result, const char *what)
{
    if (result->outcome != CONFORM_FAIL)
        snprintf(result->detail, sizeof result->detail, "%s", what);
    result->outcome = CONFORM_FAIL;
    result->score = (double)INFINITY;
}

// A kernel of the same op in other types: same arguments, other code.
static const iso_kernel *sibling_of(const conform_trial *trial)
{
    const iso_device_info *info = iso_device_get_info(trial->device);
    char reason[ISO_REASON_BYTES];
    for (uint32_t k = 0; k < trial->op->kernel_count; k++) {
        const iso_kernel *other = trial->op->kernels[k];
        const iso_kernel_code *code = iso_kernel_find_code(other, info, reason);
        if (other != trial->kernel && other->launch == trial->kernel->launch && code &&
            code->format != ISO_CODE_NATIVE && info->max_group_size >= other->group_size)
            return other;
    }
    return NULL;
}

static iso_status prepare(trial_run *run)
{
    const conform_trial *trial = run->trial;
    const iso_tensor *outputs = (const iso_tensor *)trial->params + trial->op->input_count;
    for (uint32_t o = 0; o < trial->op->output_count; o++) {
        size_t bytes = iso_tensor_elems(&outputs[o]) * iso_dtype_bytes(outputs[o].dtype);
        for (int round = 0; round < 2; round++)
            ISO_TRY(iso_alloc(NULL, bytes ? bytes : 1, &run->packed[round][o]));
    }
    ISO_TRY(guarded_init(&run->buffers, trial->op, trial->params, trial->device));
    const void *params = run->buffers.params;
    const iso_kernel *sibling = trial->thorough ? sibling_of(trial) : NULL;
    // A device may refuse the other types; what they give is another case's question.
    if (sibling &&
        conform_program_take(trial->modules, trial->device, sibling, params, &run->other) != ISO_OK)
        run->other = (iso_program){0};
    ISO_TRY(conform_program_take(trial->modules, trial->device, trial->kernel, params, &run->program));
    iso_arg scratch = {.kind = ISO_ARG_BUFFER,
                       .range_bytes = iso_kernel_scratch_bytes(trial->kernel, params)};
    if (scratch.range_bytes > 0) {
        ISO_TRY(iso_buffer_create(trial->device, (scratch.range_bytes + 3) / 4 * 4, &run->scratch));
        scratch.memory = iso_buffer_memory(run->scratch);
    }
    return conform_list_create(trial->device, &run->program, params, &scratch, &run->list);
}

static iso_status submit(trial_run *run, guard_pattern pattern, bool decoy)
{
    ISO_TRY(guarded_upload(&run->buffers, pattern, decoy));
    if (run->scratch) // what the first launch leaves out shows in the second
        ISO_TRY(iso_buffer_fill(run->scratch, 0, iso_buffer_bytes(run->scratch),
                                pattern == GUARD_NAN ? 0xffffffffu : 0x7f7fffffu));
    return iso_list_submit(run->list);
}

static iso_status run_round(trial_run *run, int round)
{
    const conform_trial *trial = run->trial;
    char detail[CONFORM_DETAIL_BYTES];
    ISO_TRY(submit(run, round == 0 ? GUARD_NAN : GUARD_WILD, false));
    if (round == 0) // later reads have to wait by themselves
        ISO_TRY(iso_device_wait(trial->device));
    ISO_TRY(guarded_download(&run->buffers));
    for (uint32_t o = 0; o < trial->op->output_count; o++)
        guarded_output(&run->buffers, o, run->packed[round][o]);
    if (round == 0)
        conform_judge(trial->op, trial->params, trial->expected, (const void *const *)run->packed[0],
                      trial->seed, run->result);
    if (!guarded_intact(&run->buffers, detail, sizeof detail))
        fail(run->result, detail);
    return ISO_OK;
}

static void compare_rounds(trial_run *run)
{
    const iso_op_info *op = run->trial->op;
    const iso_tensor *outputs = (const iso_tensor *)run->trial->params + op->input_count;
    for (uint32_t o = 0; o < op->output_count; o++) {
        size_t element = iso_dtype_bytes(outputs[o].dtype);
        const uint8_t *first = run->packed[0][o], *second = run->packed[1][o];
        for (uint64_t i = 0; i < iso_tensor_elems(&outputs[o]); i++) {
            if (memcmp(first + i * element, second + i * element, element) == 0)
                continue;
            char text[CONFORM_DETAIL_BYTES];
            snprintf(text, sizeof text,
                     "a later run of the same inputs gave other bits: output %u [%llu, %llu] %.9g, then %.9g "
                     "(margins and poison were NaN, then finite)",
                     o, (unsigned long long)(i / iso_tensor_width(&outputs[o])),
                     (unsigned long long)(i % iso_tensor_width(&outputs[o])),
                     iso_load_element(first, outputs[o].dtype, i),
                     iso_load_element(second, outputs[o].dtype, i));
            fail(run->result, text);
            return;
        }
    }
}

static bool is_small(const conform_trial *trial)
{
    const iso_tensor *tensors = trial->params;
    uint64_t elems = 0;
    for (uint32_t i = 0; i < trial->op->input_count + trial->op->output_count; i++)
        elems += iso_tensor_elems(&tensors[i]);
    return elems <= SMALL_ELEMS;
}

static iso_status run_rounds(trial_run *run)
{
    const conform_trial *trial = run->trial;
    ISO_TRY(prepare(run));
    if (trial->thorough) {
        ISO_TRY(submit(run, GUARD_WILD, true));
        ISO_TRY(iso_device_wait(trial->device));
    }
    ISO_TRY(run_round(run, 0));
    // Without memory for it there is no load, and the kernel is judged without one.
    iso_status loaded = trial->thorough ? conform_load_device(trial->device, trial->modules) : ISO_OK;
    if (loaded != ISO_OUT_OF_MEMORY)
        ISO_TRY(loaded);
    uint32_t replays = trial->thorough && is_small(trial) ? REPLAYS : 1;
    for (uint32_t i = 0; i < replays; i++) {
        ISO_TRY(run_round(run, 1));
        compare_rounds(run);
    }
    return ISO_OK;
}

iso_status conform_trial_run(const conform_trial *trial, conform_result *out_result)
{
    trial_run run = {.trial = trial, .result = out_result};
    *out_result = conform_result_make(CONFORM_PASS, trial->kernel->name, "%s", "");
    snprintf(out_result->op, sizeof out_result->op, "%s", trial->op->name);
    out_result->input_hash = conform_input_hash(trial->op, trial->params);
    iso_status status = run_rounds(&run);
    if (status == ISO_UNSUPPORTED && !run.program.kernel) { // the device says no, and why
        out_result->outcome = CONFORM_UNSUPPORTED;
        iso_copy_text(out_result->detail, sizeof out_result->detail, iso_status_last()->text);
        status = ISO_OK;
    } else if (status != ISO_OK && status != ISO_DEVICE_LOST && status != ISO_OUT_OF_MEMORY) {
        fail(out_result, iso_status_last()->text);
        status = ISO_OK;
    }
    iso_list_destroy(run.list);
    conform_program_return(trial->modules, &run.program);
    conform_program_return(trial->modules, &run.other);
    iso_buffer_release(run.scratch);
    guarded_deinit(&run.buffers);
    for (uint32_t o = 0; o < ISO_MAX_OPERANDS; o++) {
        iso_free(NULL, run.packed[0][o]);
        iso_free(NULL, run.packed[1][o]);
    }
    return status == ISO_DEVICE_LOST ? iso_fail(ISO_UNAVAILABLE, "%s", iso_status_last()->text) : status;
}
