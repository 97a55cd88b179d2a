// SPDX-License-Identifier: MIT
//
// A router's choice, judged by margins (verdict.h). The scores of all experts and their error bounds come
// from the router's reference, which is asked with every expert forced in turn. An expert that was left out
// is held against the device only where its group had to be kept: where fewer than group_keep groups can be
// ahead of it.
#include <math.h>
#include <string.h>

#include "conformance/bisect/verdict.h"
#include "kernels/op_list.h"
#include "kernels/router/op.h"

// One token's keys with their error bounds.
typedef struct keys {
    uint32_t experts, groups, size, keep; // size: experts of a group
    double key[ISO_ROUTER_MAX_EXPERTS], error[ISO_ROUTER_MAX_EXPERTS];
    double group_key[ISO_ROUTER_MAX_GROUPS], group_error[ISO_ROUTER_MAX_GROUPS];
} keys;

// ---- keys ----

// All experts' scores of one token: rows of the same logits, each with other experts forced.
static iso_status score_all(const iso_router *p, uint32_t token, const iso_numerics *numerics, keys *out)
{
    uint32_t experts = iso_tensor_width(&p->logits), k = iso_tensor_width(&p->index);
    uint32_t rows = (experts + k - 1) / k;
    size_t count = (size_t)rows * k;
    float *logits = NULL;
    int32_t *forced = NULL;
    double *values = NULL;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(ISO_NEW(NULL, (size_t)rows * experts, &logits), done);
    ISO_TRY_GOTO(ISO_NEW(NULL, count, &forced), done);
    ISO_TRY_GOTO(ISO_NEW(NULL, count * 4, &values), done);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t first = r + 1 < rows ? r * k : experts - k; // the last row ends with the last expert
        memcpy(logits + (size_t)r * experts, (const float *)p->logits.host + (size_t)token * experts,
               experts * sizeof *logits);
        for (uint32_t j = 0; j < k; j++)
            forced[r * k + j] = (int32_t)(first + j);
    }
    iso_router all = *p;
    all.normalise = false;
    all.scaling = 1;
    all.logits.host = logits;
    all.forced = all.index;
    all.forced.host = forced;
    all.logits.dims[0] = all.forced.dims[0] = all.index.dims[0] = all.weight.dims[0] = rows;
    iso_reference_output outputs[2] = {{values, values + count}, {values + 2 * count, values + 3 * count}};
    ISO_TRY_GOTO(iso_ops()->ops[iso_op_router]->reference(&all, numerics, outputs), done);
    for (size_t i = 0; i < count; i++) {
        out->key[forced[i]] = outputs[1].value[i];
        out->error[forced[i]] = outputs[1].bound[i];
    }
done:
    iso_free(NULL, logits);
    iso_free(NULL, forced);
    iso_free(NULL, values);
    return status;
}

// Largest and second largest key of a group, and the largest error in it.
static void rank_group(keys *k, uint32_t g, bool top2, double unit)
{
    double first = -INFINITY, second = -INFINITY, error = 0;
    for (uint32_t e = g * k->size; e < (g + 1) * k->size; e++) {
        error = fmax(error, k->error[e]);
        second = fmax(second, fmin(first, k->key[e]));
        first = fmax(first, k->key[e]);
    }
    k->group_key[g] = top2 ? first + second : first;
    k->group_error[g] = top2 ? 2 * error + fabs(first + second) * unit : error;
}

static iso_status make_keys(const iso_router *p, uint32_t token, const iso_numerics *numerics, keys *out)
{
    *out = (keys){.experts = iso_tensor_width(&p->logits), .groups = 1, .keep = 1};
    if (p->group_count > 1) {
        out->groups = p->group_count;
        out->keep = p->group_keep;
    }
    out->size = out->experts / out->groups;
    ISO_TRY(score_all(p, token, numerics, out));
    for (uint32_t e = 0; e < out->experts; e++) {
        if (iso_tensor_present(&p->bias))
            out->key[e] += (double)((const float *)p->bias.host)[e];
        out->error[e] += fabs(out->key[e]) * numerics->unit;
    }
    for (uint32_t g = 0; g < out->groups; g++)
        rank_group(out, g, p->group_top2, numerics->unit);
    return ISO_OK;
}

// ---- judging ----

// Keeps the worst difference of keys that should not be.
static void hold(conform_choice *out, uint32_t token, double ahead, double allowed)
{
    double score = ahead <= 0 ? 0 : ahead / allowed; // allowed 0: infinite
    if (!(score <= out->score))
        *out = (conform_choice){
            .score = score, .token = token, .differ = out->differ, .ahead = ahead, .allowed = allowed};
}

// How many other groups can be ahead of g, and how many must be.
static uint32_t groups_ahead(const keys *k, uint32_t g, bool surely)
{
    uint32_t count = 0;
    for (uint32_t h = 0; h < k->groups; h++) {
        double gap = k->group_key[h] - k->group_key[g], error = k->group_error[h] + k->group_error[g];
        count += h != g && (surely ? gap > error : gap >= -error);
    }
    return count;
}

// The key of the last group that is kept.
static double last_kept(const keys *k, uint32_t *out_group)
{
    bool taken[ISO_ROUTER_MAX_GROUPS] = {false};
    for (uint32_t i = 0; i < k->keep; i++) {
        uint32_t best = k->groups;
        for (uint32_t g = 0; g < k->groups; g++)
            if (!taken[g] && (best == k->groups || k->group_key[g] > k->group_key[best]))
                best = g;
        taken[best] = true;
        *out_group = best;
    }
    return k->group_key[*out_group];
}

static void judge_token(const keys *k, const int32_t *chosen, uint32_t count, uint32_t token,
                        conform_choice *out)
{
    bool picked[ISO_ROUTER_MAX_EXPERTS] = {false};
    uint32_t last = 0, lowest = (uint32_t)chosen[0];
    double kept = last_kept(k, &last);
    for (uint32_t j = 0; j < count; j++) {
        uint32_t group = (uint32_t)chosen[j] / k->size;
        picked[chosen[j]] = true;
        if (k->key[chosen[j]] < k->key[lowest])
            lowest = (uint32_t)chosen[j];
        if (groups_ahead(k, group, true) >= k->keep)
            hold(out, token, kept - k->group_key[group], k->group_error[group] + k->group_error[last]);
    }
    for (uint32_t e = 0; e < k->experts; e++)
        if (!picked[e] && groups_ahead(k, e / k->size, false) < k->keep)
            hold(out, token, k->key[e] - k->key[lowest], k->error[e] + k->error[lowest]);
}

static iso_status check_indices(const int32_t *chosen, uint32_t count, uint32_t experts, uint32_t token)
{
    for (uint32_t j = 0; j < count; j++)
        if (chosen[j] < 0 || (uint32_t)chosen[j] >= experts || (j && chosen[j] <= chosen[j - 1]))
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "token %u: choice %u is expert %d; allowed: ascending, 0 to %u", token, j,
                            chosen[j], experts - 1);
    return ISO_OK;
}

// The exact choice, from the reference itself.
static iso_status exact_choice(const iso_router *p, const iso_numerics *numerics, double *index)
{
    double *rest = NULL;
    size_t count = iso_tensor_elems(&p->index);
    ISO_TRY(ISO_NEW(NULL, count * 3, &rest));
    iso_reference_output outputs[2] = {{index, rest}, {rest + count, rest + 2 * count}};
    iso_status status = iso_ops()->ops[iso_op_router]->reference(p, numerics, outputs);
    iso_free(NULL, rest);
    return status;
}

iso_status conform_judge_choice(const void *router_params, const int32_t *index, const iso_numerics *numerics,
                                conform_choice *out)
{
    const iso_router *p = router_params;
    uint32_t k = iso_tensor_width(&p->index), experts = iso_tensor_width(&p->logits);
    double *exact = NULL;
    keys *all = NULL;
    iso_status status = ISO_OK;
    *out = (conform_choice){0};
    ISO_TRY_GOTO(ISO_NEW(NULL, iso_tensor_elems(&p->index), &exact), done);
    ISO_TRY_GOTO(ISO_NEW(NULL, 1, &all), done);
    ISO_TRY_GOTO(exact_choice(p, numerics, exact), done);
    for (uint32_t t = 0; t < p->logits.dims[0]; t++) {
        const int32_t *chosen = index + (size_t)t * k;
        bool same = true;
        ISO_TRY_GOTO(check_indices(chosen, k, experts, t), done);
        for (uint32_t j = 0; j < k; j++)
            same = same && exact[(size_t)t * k + j] == chosen[j];
        if (same)
            continue;
        out->differ++;
        ISO_TRY_GOTO(make_keys(p, t, numerics, all), done);
        judge_token(all, chosen, k, t, out);
    }
done:
    iso_free(NULL, exact);
    iso_free(NULL, all);
    return status;
}
