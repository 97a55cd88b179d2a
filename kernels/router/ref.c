// SPDX-License-Identifier: MIT
//
// Router: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound of a weight: the errors of the scores, of the sum that normalises them and of its division, and of
// the product with the scaling (bound.md). Chosen experts must be equal, except where two keys that differ
// are nearer to each other than their errors: there either choice is right, and nothing of the token is
// demanded.
#include "kernels/router/op.h"

#include <math.h>

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

#define NEAR_UNDERFLOW 1e-35 // of exp, which may give 0 there

static iso_status check_attributes(const iso_router *p, uint32_t experts, uint32_t chosen)
{
    uint32_t groups = p->group_count > 1 ? p->group_count : 1, keep = p->group_count > 1 ? p->group_keep : 1;
    if (experts == 0 || experts > ISO_ROUTER_MAX_EXPERTS)
        return iso_fail(ISO_INVALID_ARGUMENT, "router: logits has %u experts; allowed: 1 to %d", experts,
                        ISO_ROUTER_MAX_EXPERTS);
    if (groups > ISO_ROUTER_MAX_GROUPS || experts % groups)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "router: group_count is %u for %u experts; allowed: divisors up to %d", groups,
                        experts, ISO_ROUTER_MAX_GROUPS);
    if (keep == 0 || keep > groups)
        return iso_fail(ISO_INVALID_ARGUMENT, "router: group_keep is %u; allowed: 1 to %u", keep, groups);
    if (groups > 1 && p->group_top2 && experts / groups < 2)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "router: groups of one expert have no two largest; use group_top2 false");
    uint32_t most = keep * (experts / groups);
    most = most < ISO_ROUTER_MAX_CHOSEN ? most : ISO_ROUTER_MAX_CHOSEN;
    if (chosen == 0 || chosen > most)
        return iso_fail(ISO_INVALID_ARGUMENT, "router: index has %u experts a token; allowed: 1 to %u",
                        chosen, most);
    return ISO_OK;
}

iso_status iso_router_check(const void *params)
{
    const iso_router *p = params;
    uint32_t tokens = p->logits.dims[0], experts = iso_tensor_width(&p->logits);
    uint32_t chosen = iso_tensor_width(&p->index);
    ISO_TRY(iso_check_dtype("router", "logits", &p->logits, 1u << ISO_DTYPE_F32));
    ISO_TRY(iso_check_dtype("router", "bias", &p->bias, 1u << ISO_DTYPE_F32 | 1u << ISO_DTYPE_NONE));
    ISO_TRY(iso_check_dtype("router", "forced", &p->forced, 1u << ISO_DTYPE_I32 | 1u << ISO_DTYPE_NONE));
    ISO_TRY(iso_check_dtype("router", "index", &p->index, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype("router", "weight", &p->weight, 1u << ISO_DTYPE_F32));
    const uint32_t rows[] = {tokens, chosen};
    ISO_TRY(iso_check_shape("router", "logits", &p->logits, 2, p->logits.dims));
    ISO_TRY(iso_check_shape("router", "index", &p->index, 2, rows));
    ISO_TRY(iso_check_shape("router", "weight", &p->weight, 2, rows));
    ISO_TRY(iso_check_contiguous("router", "logits", &p->logits));
    ISO_TRY(iso_check_contiguous("router", "index", &p->index));
    ISO_TRY(iso_check_contiguous("router", "weight", &p->weight));
    if (iso_tensor_present(&p->bias)) {
        ISO_TRY(iso_check_shape("router", "bias", &p->bias, 1, &experts));
        ISO_TRY(iso_check_contiguous("router", "bias", &p->bias));
    }
    if (iso_tensor_present(&p->forced)) {
        ISO_TRY(iso_check_shape("router", "forced", &p->forced, 2, rows));
        ISO_TRY(iso_check_contiguous("router", "forced", &p->forced));
    }
    return check_attributes(p, experts, chosen);
}

// What is known of one token's experts.
typedef struct token_scores {
    double score[ISO_ROUTER_MAX_EXPERTS];
    double error[ISO_ROUTER_MAX_EXPERTS]; // of the score, relative
    double shared;                        // error that all scores have in common, relative: of softmax's sum
    double key[ISO_ROUTER_MAX_EXPERTS];
    double key_error[ISO_ROUTER_MAX_EXPERTS]; // absolute
    bool picked[ISO_ROUTER_MAX_EXPERTS];
    bool certain; // float32 must choose the same
} token_scores;

static void score_experts(const iso_router *p, const iso_numerics *numerics, uint32_t t, token_scores *out)
{
    double *score = out->score, *error = out->error;
    uint32_t experts = iso_tensor_width(&p->logits);
    double top = -INFINITY, sum = 0, drift = 0;
    for (uint32_t e = 0; e < experts; e++)
        top = fmax(top, iso_at(&p->logits, t, e));
    for (uint32_t e = 0; e < experts; e++) {
        double x = iso_at(&p->logits, t, e);
        score[e] = p->sigmoid ? 1 / (1 + exp(-x)) : exp(x - top);
        // Sigmoid: e^-x counts by its part of 1 + e^-x. Softmax: x - top rounds, an error of the exponent.
        error[e] = p->sigmoid ? numerics->exp_unit * (1 - score[e]) + numerics->unit
                              : numerics->exp_unit + numerics->unit * fmin(top - x, -log(NEAR_UNDERFLOW));
        error[e] = score[e] < NEAR_UNDERFLOW ? 1 : error[e] + numerics->root_unit;
        sum += score[e];
        drift += score[e] > 0 ? score[e] * error[e] : 0;
    }
    out->shared = p->sigmoid ? 0 : drift / sum + iso_gamma_averaged(numerics, experts);
    for (uint32_t e = 0; e < experts; e++) {
        bool biased = iso_tensor_present(&p->bias);
        score[e] /= p->sigmoid ? 1 : sum;
        out->key[e] = score[e] + (biased ? iso_at(&p->bias, 0, e) : 0);
        out->key_error[e] =
            score[e] * (error[e] + out->shared) + (biased ? fabs(out->key[e]) * numerics->unit : 0);
    }
}

// The best entry not taken yet, the lowest index on ties; NaN is worse than everything.
static uint32_t best_of(const double *key, const bool *taken, uint32_t count)
{
    uint32_t best = count;
    for (uint32_t i = 0; i < count; i++)
        if (!taken[i] && (best == count || key[i] > key[best] || (isnan(key[best]) && !isnan(key[i]))))
            best = i;
    return best;
}

// Whether the keys are made of the same numbers: a tie in every precision.
static bool is_tie(const token_scores *token, uint32_t e, uint32_t other)
{
    return token->score[e] == token->score[other] && token->key[e] == token->key[other];
}

// What a group is kept by: its best key, and with group_top2 the second one, which is added.
typedef struct group_key {
    uint32_t first, second; // experts
    double error;
} group_key;

// Takes the experts of all groups that are not kept. Returns whether their choice is beyond rounding errors.
static bool keep_groups(const iso_router *p, const iso_numerics *numerics, const token_scores *token,
                        bool *taken)
{
    uint32_t experts = iso_tensor_width(&p->logits), size = experts / p->group_count;
    double key[ISO_ROUTER_MAX_GROUPS];
    group_key group[ISO_ROUTER_MAX_GROUPS];
    bool kept[ISO_ROUTER_MAX_GROUPS] = {false}, none[ISO_ROUTER_MAX_EXPERTS] = {false}, certain = true;
    for (uint32_t g = 0; g < p->group_count; g++) {
        uint32_t start = g * size, first = start + best_of(token->key + start, none, size), second = first;
        key[g] = token->key[first];
        group[g].error = token->key_error[first];
        if (p->group_top2) {
            none[first - start] = true;
            second = start + best_of(token->key + start, none, size);
            none[first - start] = false;
            key[g] += token->key[second];
            group[g].error += token->key_error[second] + fabs(key[g]) * numerics->unit;
        }
        group[g].first = first;
        group[g].second = second;
    }
    for (uint32_t i = 0; i < p->group_keep; i++)
        kept[best_of(key, kept, p->group_count)] = true;
    for (uint32_t g = 0; g < p->group_count; g++)
        for (uint32_t h = 0; h < p->group_count && kept[g]; h++)
            if (!kept[h] && !(is_tie(token, group[g].first, group[h].first) &&
                              is_tie(token, group[g].second, group[h].second)))
                certain = certain && !(key[g] - key[h] < group[g].error + group[h].error);
    for (uint32_t e = 0; e < experts; e++)
        taken[e] = !kept[e / size];
    return certain;
}

// Marks the chosen experts.
static void choose(const iso_router *p, const iso_numerics *numerics, uint32_t t, token_scores *token)
{
    uint32_t experts = iso_tensor_width(&p->logits), chosen = iso_tensor_width(&p->index);
    if (iso_tensor_present(&p->forced)) {
        for (uint32_t j = 0; j < chosen; j++) {
            uint32_t given = (uint32_t)iso_index_at(&p->forced, (size_t)t * chosen + j);
            token->picked[given < experts ? given : experts - 1] = true;
        }
        return;
    }
    bool taken[ISO_ROUTER_MAX_EXPERTS] = {false};
    if (p->group_count > 1)
        token->certain = keep_groups(p, numerics, token, taken);
    for (uint32_t j = 0; j < chosen; j++) {
        uint32_t best = best_of(token->key, taken, experts);
        taken[best] = token->picked[best] = true;
    }
    for (uint32_t e = 0; e < experts; e++)
        for (uint32_t other = 0; other < experts && token->picked[e]; other++)
            if (!taken[other] && !is_tie(token, e, other) &&
                token->key[e] - token->key[other] < token->key_error[e] + token->key_error[other])
                token->certain = false;
}

// The partial sums that may round while the chosen scores are added up, largest first, which is the worst
// order.
static double sums_of_chosen(const token_scores *token, uint32_t experts, uint32_t chosen)
{
    const double *score = token->score;
    const bool *picked = token->picked;
    double sums = 0;
    for (uint32_t e = 0; e < experts; e++) {
        uint32_t before = 0;
        for (uint32_t other = 0; other < experts && picked[e]; other++)
            before += picked[other] && (score[other] > score[e] || (score[other] == score[e] && other < e));
        if (picked[e])
            sums += score[e] * (before == 0 ? chosen - 1 : chosen - before);
    }
    return sums;
}

// The chosen experts of a token, in ascending order, and their weights.
static void weigh(const iso_router *p, const iso_numerics *numerics, const token_scores *token,
                  const iso_reference_output *outputs, size_t at)
{
    const bool *picked = token->picked;
    uint32_t experts = iso_tensor_width(&p->logits), chosen = iso_tensor_width(&p->index);
    double sum = 1e-20, drift = 0, scaling = (double)p->scaling;
    for (uint32_t e = 0; e < experts; e++) {
        sum += picked[e] ? token->score[e] : 0;
        drift += picked[e] ? token->score[e] * token->error[e] : 0;
    }
    double adding = numerics->unit * sums_of_chosen(token, experts, chosen) / sum;
    for (uint32_t e = 0; e < experts; e++) {
        if (!picked[e])
            continue;
        double weight = token->score[e] * scaling, relative = token->error[e] + token->shared;
        if (p->normalise) { // what all scores share cancels, and what the sum has of this one's error
            double part = token->score[e] / sum, others = drift / sum - part * token->error[e];
            weight /= sum;
            relative = token->error[e] * (1 - part) + others + adding + numerics->root_unit;
        }
        relative += scaling == 1 ? 0 : numerics->unit;
        outputs[0].value[at] = e;
        outputs[0].bound[at] = token->certain ? 0 : experts;
        iso_store_bound(numerics, p->weight.dtype, weight,
                        token->certain ? fabs(weight) * relative * 1.001 : fabs(scaling),
                        &outputs[1].value[at], &outputs[1].bound[at]);
        at++;
    }
}

iso_status iso_router_reference(const void *params, const iso_numerics *numerics,
                                const iso_reference_output *outputs)
{
    const iso_router *p = params;
    size_t chosen = iso_tensor_width(&p->index);
    for (uint32_t t = 0; t < p->logits.dims[0]; t++) {
        token_scores token = {.certain = true};
        score_experts(p, numerics, t, &token);
        choose(p, numerics, t, &token);
        weigh(p, numerics, &token, outputs, t * chosen);
    }
    return ISO_OK;
}

void iso_router_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_router *p = params;
    uint64_t elems = iso_tensor_elems(&p->logits), picked = iso_tensor_elems(&p->index);
    out_cost->flops = elems * 4 + picked * 3;
    out_cost->read_bytes = 4 * (elems + iso_tensor_elems(&p->bias) + iso_tensor_elems(&p->forced));
    out_cost->written_bytes = 8 * picked;
}

// Logits are multiples of 1/64 between -4 and 4 (of 1 when keys shall tie), biases of 1/64: equal keys are
// equal in every precision, and different ones differ by far more than a rounding, except by rare chance.
// Near ties are 2^-12 apart, hundreds of roundings of a key, and never on both sides of a value, where sums
// of two would come too near; wide logits stay below 0, where a sigmoid of
// float32 does not reach 1.
static void fill_steps(const iso_case_builder *builder, const iso_tensor *tensor, double step, double limit)
{
    float *at = tensor->host;
    for (uint64_t i = 0; i < iso_tensor_elems(tensor); i++) {
        double unit = (double)(iso_case_random(builder, i) >> 40) / 0x1p24;
        at[i] = (float)(floor((2 * unit - 1) * limit / step) * step);
    }
}

static void fill_logits(const iso_case_builder *builder, const iso_router *p, bool ties)
{
    float *at = p->logits.host;
    bool near = builder->stress == ISO_STRESS_TIES;
    fill_steps(builder, &p->logits, near ? 0.5 : ties ? 1.0 : 0x1p-6, near ? 2.0 : 4.0);
    for (uint64_t i = 0; i < iso_tensor_elems(&p->logits); i++) {
        if (near && iso_case_random(builder, i) % 4 == 0)
            at[i] += 0x1p-12f;
        if (builder->stress == ISO_STRESS_SCALES && !iso_tensor_present(&p->bias))
            at[i] = at[i] * 10 - 40;
    }
    // The first and the last experts, and with them their groups, are among the best of one token each.
    uint32_t experts = iso_tensor_width(&p->logits), tokens = iso_tensor_rows(&p->logits);
    for (uint32_t i = 0; i < 2 && experts >= 4 && builder->stress == ISO_STRESS_NORMAL; i++) {
        at[experts - 1 - i] = 7.0f + (float)i;
        at[(size_t)(tokens > 1) * experts + i] = 9.0f + (float)i;
    }
}

iso_status iso_router_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_router *p = params;
    uint32_t tokens = numbers[0], experts = numbers[1], chosen = numbers[2], form = numbers[5];
    p->group_count = numbers[3];
    p->group_keep = numbers[4];
    p->sigmoid = form & 1;
    p->group_top2 = form & 4;
    p->normalise = form & 8;
    p->scaling = p->sigmoid ? 2.5f : 1.0f;
    ISO_TRY(iso_case_empty(builder, &p->logits, ISO_DTYPE_F32, ISO_DIMS(tokens, experts)));
    const iso_case_builder for_logits = *builder;
    if (form & 2) {
        ISO_TRY(iso_case_empty(builder, &p->bias, ISO_DTYPE_F32, ISO_DIMS(experts)));
        fill_steps(builder, &p->bias, form & 32 ? 0.25 : 0x1p-6, 0.5);
        for (uint32_t i = 0; i < 4 && experts >= 4; i++) // of those that fill_logits wants chosen
            ((float *)p->bias.host)[i < 2 ? i : experts + 1 - i] = 0.5f;
        for (uint32_t e = 0; e < experts && form & 64; e++)
            ((float *)p->bias.host)[e] -= 2;
    }
    fill_logits(&for_logits, p, form & 32);
    if (form & 16) {
        ISO_TRY(iso_case_empty(builder, &p->forced, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen)));
        int32_t *forced = p->forced.host; // distinct and not ascending
        for (uint32_t i = 0; i < tokens * chosen; i++)
            forced[i] = (int32_t)((experts - 1 - i % chosen * 3 + i / chosen) % experts);
    }
    ISO_TRY(iso_case_empty(builder, &p->index, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen)));
    return iso_case_empty(builder, &p->weight, ISO_DTYPE_F32, ISO_DIMS(tokens, chosen));
}
