// SPDX-License-Identifier: MIT
//
// One op of a model against its reference (verdict.h).
#include "conformance/bisect/verdict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/ops/judge.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/router/op.h"

#define NOT_WRITTEN (-1.0)
#define TILE_WORDS  4

// ---- what is expected ----

iso_status conform_make_expected(const iso_op_info *op, const void *params, const iso_numerics *numerics,
                                 iso_reference_output *out)
{
    const iso_tensor *outputs = (const iso_tensor *)params + op->input_count;
    iso_status status = ISO_OK;
    memset(out, 0, op->output_count * sizeof *out);
    for (uint32_t o = 0; o < op->output_count; o++) {
        uint64_t elems = iso_tensor_elems(&outputs[o]);
        ISO_TRY_GOTO(ISO_NEW(NULL, elems, &out[o].value), fail);
        ISO_TRY_GOTO(ISO_NEW(NULL, elems, &out[o].bound), fail);
        for (uint64_t i = 0; i < elems; i++)
            out[o].bound[i] = NOT_WRITTEN;
    }
    ISO_TRY_GOTO(op->reference(params, numerics, out), fail);
    return ISO_OK;
fail:
    conform_free_expected(op, out);
    return status;
}

void conform_free_expected(const iso_op_info *op, iso_reference_output *expected)
{
    for (uint32_t o = 0; o < op->output_count; o++) {
        iso_free(NULL, expected[o].value);
        iso_free(NULL, expected[o].bound);
        expected[o] = (iso_reference_output){0};
    }
}

// ---- samples of large calls ----

// Operands whose first dimension is the step's tokens, of the ops that can be large and whose rows stand
// alone.
static const struct {
    const char *op;
    uint32_t operands[6], count;
} windows[] = {
    {"linear", {0, 1, 5}, 3},
    {"head_linear", {0, 3}, 2},
    {"gqa_attention", {0, 4, 5, 6}, 4},
    {"mla_attention", {0, 1, 4, 5, 6}, 5},
};

// Leaves only tokens [first, first + count) of an operand.
static void cut_tokens(iso_tensor *tensor, uint32_t first, uint32_t count)
{
    if (!iso_tensor_present(tensor))
        return;
    uint32_t rows = tensor->rank == 1 ? 1 : iso_tensor_rows(tensor) / tensor->dims[0];
    tensor->view_offset += first * rows * (tensor->rank == 1 ? 1 : tensor->row_stride);
    tensor->dims[0] = count;
    if (tensor->rank == 1)
        tensor->row_stride = count;
}

// Operands that must be contiguous from the start of their storage get their memory moved instead.
static void cut_operand(iso_tensor *tensor, uint32_t first, uint32_t count)
{
    bool whole = tensor->view_offset == 0 && tensor->row_stride == iso_tensor_width(tensor);
    uint32_t before = tensor->view_offset;
    cut_tokens(tensor, first, count);
    if (whole && tensor->host) {
        tensor->host = (uint8_t *)tensor->host +
                       (uint64_t)(tensor->view_offset - before) * iso_dtype_bytes(tensor->dtype);
        tensor->view_offset = before;
    }
}

static bool is_used(const int32_t *tile)
{
    return tile[0] >= 0 && tile[2] > 0;
}

// Keeps every n-th used tile of a grouped product, and one at least; all others count as unused.
static iso_status thin_tiles(iso_grouped_linear *p, uint32_t keep_every, uint32_t salt, int32_t **out_tiles)
{
    uint32_t tiles = iso_tensor_rows(&p->tiles);
    ISO_TRY(ISO_NEW(NULL, (size_t)tiles * TILE_WORDS, out_tiles));
    memcpy(*out_tiles, p->tiles.host, (size_t)tiles * TILE_WORDS * sizeof **out_tiles);
    uint32_t used = 0, nth = 0;
    for (uint32_t i = 0; i < tiles; i++)
        used += is_used(*out_tiles + (size_t)i * TILE_WORDS);
    uint32_t every = keep_every < used ? keep_every : used;
    for (uint32_t i = 0; i < tiles; i++) {
        int32_t *tile = *out_tiles + (size_t)i * TILE_WORDS;
        if (is_used(tile) && nth++ % every != salt % every)
            tile[0] = -1;
    }
    p->tiles.host = *out_tiles;
    return ISO_OK;
}

// Reduces a call that is too large. *out_token: the first token of the part that is left of the outputs.
static iso_status take_sample(const conform_call *call, void *params, uint32_t *out_token,
                              int32_t **out_tiles)
{
    iso_op_cost cost;
    iso_tensor *tensors = params;
    call->op->cost(params, &cost);
    *out_token = 0;
    *out_tiles = NULL;
    if (call->flops_limit <= 0 || (double)cost.flops <= call->flops_limit)
        return ISO_OK;
    uint32_t parts = (uint32_t)ceil((double)cost.flops / call->flops_limit);
    if (strcmp(call->op->name, "grouped_linear") == 0)
        return thin_tiles(params, parts, call->salt, out_tiles);
    for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
        if (strcmp(windows[w].op, call->op->name) != 0)
            continue;
        uint32_t tokens = tensors[0].dims[0], count = tokens / parts ? tokens / parts : 1;
        *out_token = call->salt * 31 % (tokens - count + 1);
        for (uint32_t i = 0; i < windows[w].count; i++)
            cut_operand(&tensors[windows[w].operands[i]], *out_token, count);
    }
    return ISO_OK;
}

// ---- judging ----

static void note(conform_verdict *out, const char *text)
{
    if (!out->note[0])
        snprintf(out->note, sizeof out->note, "%s", text);
}

// Judges what is left of output `o` of a call that was cut to the tokens from `token` on.
static void judge_output(const conform_call *call, uint32_t o, uint32_t token, uint64_t elems,
                         const iso_reference_output *expected, conform_verdict *out)
{
    const iso_tensor *y = (const iso_tensor *)call->params + call->op->input_count + o;
    uint64_t width = iso_tensor_width(y), skipped = token * (iso_tensor_elems(y) / y->dims[0]);
    out->elems += iso_tensor_elems(y);
    for (uint64_t i = 0; i < elems; i++) {
        double want = expected->value[i], bound = expected->bound[i];
        if (bound == NOT_WRITTEN)
            continue;
        uint64_t row = (skipped + i) / width, column = (skipped + i) % width;
        double got =
            iso_load_element(call->after[o], y->dtype, y->view_offset + row * y->row_stride + column);
        double score = conform_score_element(call->op, y->dtype, want, bound, got);
        out->judged++;
        out->square_sum += isfinite(score) ? score * score : 0;
        if (score > out->score) {
            out->score = score;
            out->worst = (conform_sample){o, skipped + i, got, want, bound};
        }
    }
}

// Bytes of the storage that do not belong to the output's view must be as they were.
static bool outside_changed(const conform_call *call, uint32_t o)
{
    const iso_tensor *y = (const iso_tensor *)call->params + call->op->input_count + o;
    const uint8_t *before = y->host, *after = call->after[o];
    uint64_t elem = iso_dtype_bytes(y->dtype), end = 0;
    uint32_t rows = iso_tensor_rows(y);
    for (uint32_t r = 0; r < rows; r++) {
        uint64_t begin = (y->view_offset + (uint64_t)r * y->row_stride) * elem;
        if (memcmp(before + end, after + end, begin - end) != 0)
            return true;
        end = begin + iso_tensor_width(y) * elem;
    }
    return memcmp(before + end, after + end, call->bytes[o] - end) != 0;
}

// A router's indices are judged by margins, its weights for the experts that it chose.
static iso_status judge_router(const conform_call *call, iso_router *params, conform_verdict *out)
{
    conform_choice choice;
    const int32_t *index = call->after[0];
    if (iso_tensor_present(&params->forced))
        return ISO_OK;
    const float *logits = params->logits.host;
    for (uint64_t i = 0; i < iso_tensor_elems(&params->logits); i++)
        if (isnan(logits[i]))
            return ISO_OK; // the reference ranks NaN; there are no margins
    if (conform_judge_choice(params, index, call->numerics, &choice) != ISO_OK) {
        out->score = (double)INFINITY;
        note(out, iso_status_last()->text);
        return ISO_OK;
    }
    out->score = choice.score;
    if (!(choice.score <= 1)) {
        out->worst = (conform_sample){0, (uint64_t)choice.token * iso_tensor_width(&params->index),
                                      choice.ahead, 0, choice.allowed};
        snprintf(out->note, sizeof out->note,
                 "token %u: an expert was left out whose key is %.3g ahead; rounding explains %.3g",
                 choice.token, choice.ahead, choice.allowed);
    } else if (choice.differ) {
        out->rounded_choices = choice.differ;
        snprintf(
            out->note, sizeof out->note,
            "explained by rounding: %u tokens chose other experts; keys %.3g apart, rounding explains %.3g",
            choice.differ, choice.ahead, choice.allowed);
    }
    params->forced = params->index;
    params->forced.host = (void *)(uintptr_t)index;
    return ISO_OK;
}

iso_status conform_judge_call(const conform_call *call, conform_verdict *out)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_reference_output expected[ISO_MAX_OPERANDS] = {{0}};
    int32_t *tiles = NULL;
    uint32_t token;
    iso_status status = ISO_OK;
    *out = (conform_verdict){0};
    memcpy(params, call->params, call->op->params_bytes);
    ISO_TRY(take_sample(call, params, &token, &tiles));
    if (strcmp(call->op->name, "router") == 0)
        ISO_TRY_GOTO(judge_router(call, (iso_router *)params, out), done);
    ISO_TRY_GOTO(conform_make_expected(call->op, params, call->numerics, expected), done);
    for (uint32_t o = 0; o < call->op->output_count; o++) {
        judge_output(call, o, token, iso_tensor_elems((iso_tensor *)params + call->op->input_count + o),
                     &expected[o], out);
        if (outside_changed(call, o)) {
            out->score = (double)INFINITY;
            note(out, "it wrote outside of its output");
        }
    }
    if (out->judged == 0)
        note(out, "nothing of it was judged");
done:
    conform_free_expected(call->op, expected);
    iso_free(NULL, tiles);
    return status;
}
